"""The routing map: which units each task activates, and how strongly."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gppf_mm.models import GPPF

_MAX_NUMBERED_UNITS = 8


@torch.no_grad()
def mixing_weights(model: GPPF, task: str) -> tuple[list[str], np.ndarray]:
    """Return a task's mixing weights under its evaluation plan.

    Args:
        model: The multi-task model. It is left as it is, whatever its mode.
        task: The task.

    Returns:
        The routing groups, from the network's input to its output, and an array of
        shape ``(groups, K)``; NaN where the task does not activate the unit.
    """
    network = model.network
    training = network.training
    network.eval()
    plan = network.draw(task)
    network.train(training)
    table = np.full((len(plan.routes), network.bank.num_units), np.nan)
    for row, route in enumerate(plan.routes.values()):
        weights = [1.0] if route.weights is None else [float(w) for w in route.weights]
        table[row, list(route.units)] = weights
    return list(plan.routes), table


def plot_routing_map(
    model: GPPF, out_file: str | Path, tasks: Sequence[str] | None = None
) -> None:
    """Draw a heat map of groups by units for each task.

    Args:
        model: The multi-task model.
        out_file: The picture to write.
        tasks: The tasks to draw, in this order. Defaults to None, all.
    """
    tasks = list(tasks or model.task_names)
    groups, _ = mixing_weights(model, tasks[0])
    tables = {task: mixing_weights(model, task)[1] for task in tasks}
    largest = max(np.nanmax(table) for table in tables.values())
    has_inactive = any(np.isnan(table).any() for table in tables.values())
    labels = _shorten(groups)
    units = model.network.bank.num_units
    figure = _figure(len(tasks), len(groups), units, max(map(len, labels)))
    axes = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axis, (task, table) in zip(axes, tables.items(), strict=True):
        image = axis.imshow(table, vmin=0, vmax=largest, cmap="viridis", aspect="auto")
        # What is not activated shows the background.
        axis.set_facecolor("0.88")
        axis.set_title(task, fontweight="bold")
        axis.set_xticks(range(units), [str(unit) for unit in range(units)])
        axis.set_yticks(range(len(groups)), labels)
        axis.set_xlabel("unit")
        axis.tick_params(length=0)
        _separate_cells(axis, table.shape)
        if units <= _MAX_NUMBERED_UNITS:
            _write_numbers(axis, table, largest)
    axes[0].set_ylabel("routing group, from input to output")
    figure.colorbar(image, ax=list(axes), label="mixing weight", fraction=0.04)
    router = type(model.network.router).__name__
    figure.suptitle(
        "Routing map: mixing weights of each task's units\n"
        f"{router}, {units} unit{'s' * (units > 1)} per layer, "
        f"evaluation plan {_progress(model)}"
        + ("; grey: not activated" if has_inactive else "")
    )
    Path(out_file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_file, dpi=120)


def _figure(tasks: int, groups: int, units: int, label_length: int) -> Figure:
    cell = 0.55 if units <= _MAX_NUMBERED_UNITS else 0.26
    width = max(cell * units + 0.4, 1.6) * tasks + 0.09 * label_length + 1.6
    figure = Figure(
        figsize=(max(width, 7.5), 0.32 * groups + 1.9), layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure


def _progress(model: GPPF) -> str:
    step = int(model.network.step)  # of the last iteration, counted from 0
    return f"after {step + 1} iterations" if step else "before training"


def _shorten(groups: Sequence[str]) -> list[str]:
    """Leave out the name of the shared part where there is only one."""
    parts = {group.partition(".")[0] for group in groups}
    if len(parts) > 1:
        return list(groups)
    return [group.partition(".")[2] or group for group in groups]


def _separate_cells(axis, shape: tuple[int, int]) -> None:
    axis.set_yticks(np.arange(1, shape[0]) - 0.5, minor=True)
    axis.set_xticks(np.arange(1, shape[1]) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="minor", length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _write_numbers(axis, table: np.ndarray, largest: float) -> None:
    for (row, unit), weight in np.ndenumerate(table):
        if not np.isnan(weight):
            axis.text(
                unit,
                row,
                f"{weight:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="black" if weight > 0.6 * largest else "white",
            )
