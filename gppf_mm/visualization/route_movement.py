"""How the routes moved while a run trained."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from gppf_mm.analysis import RouteHistory, Routes

from .figures import INACTIVE, new_figure

# Dashes, besides colours, tell more than eight lines apart.
_STYLES = ("-", "--", ":", "-.")
_COLORS = 8


def movement_curves(history: RouteHistory) -> Figure:
    """Draw how far each task is from its last routes, and how much tasks share.

    Args:
        history: The routes over a run.

    Returns:
        The figure: distance to the last routes, effective units, mean affinity.
    """
    figure = new_figure(12.5, 3.9)
    left, middle, right = figure.subplots(1, 3)
    for index, task in enumerate(history.tasks):
        style = dict(
            color=f"C{index % _COLORS}",
            linestyle=_STYLES[index // _COLORS % len(_STYLES)],
            marker=".",
            markersize=3,
            label=task,
        )
        left.plot(history.iterations, history.distances_to_last(task), **style)
        middle.plot(history.iterations, history.effective_units(task), **style)
    right.plot(
        history.iterations,
        history.mean_affinity(),
        color="0.2",
        marker=".",
        markersize=3,
    )
    _title(left, "Distance to the last routes", "total variation distance")
    _title(middle, "Units over which a task spreads", "exp(entropy of the weights)")
    _title(right, "Affinity of two tasks, on average", "cosine of the mixing weights")
    left.set_ylim(bottom=0)
    middle.set_ylim(0.9, max(history.routes[0].units) + 0.1)
    right.set_ylim(-0.03, 1.03)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(history.tasks), 8),
        frameon=False,
    )
    return figure


def movement_map(history: RouteHistory) -> Figure:
    """Draw each task's mixing weights over the run, one strip for each unit.

    Args:
        history: The routes over a run.

    Returns:
        The figure: for each task iterations by groups and, within a group, its units.
    """
    first = history.routes[0]
    groups, units = len(first.groups), max(first.units)
    tasks = history.tasks
    columns = min(4, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    label = 0.085 * max(map(len, first.labels())) + 0.4
    height = max(0.085 * units, 0.16) * groups + 0.8
    figure = new_figure(max(2.9 * columns + label + 1.0, 7.0), height * rows + 0.8)
    parts = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    largest = max(np.nanmax(history.of(task)) for task in tasks)
    for axes in parts.flat[len(tasks) :]:
        axes.set_visible(False)
    for index, task in enumerate(tasks):
        axes = parts.flat[index]
        image = _strips(axes, history, task, largest)
        axes.set_title(task, fontweight="bold", fontsize=10)
        _group_ticks(axes, first, units)
        axes.tick_params(labelbottom=True)
        if index + columns >= len(tasks):
            axes.set_xlabel("iteration")
    figure.colorbar(
        image, ax=parts.ravel().tolist(), label="mixing weight", fraction=0.04
    )
    figure.suptitle(
        "Routes over training: one strip for each unit of a group; grey: not activated"
    )
    return figure


def _title(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=10, fontweight="bold")
    axes.set_ylabel(label, fontsize=9)
    axes.set_xlabel("iteration", fontsize=9)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _strips(axes: Axes, history: RouteHistory, task: str, largest: float) -> QuadMesh:
    tables = history.of(task)  # (moments, groups, K)
    strips = tables.reshape(len(tables), -1).T
    strips = np.where(strips > 0, strips, np.nan)
    edges = _edges(np.asarray(history.iterations, dtype=float))
    axes.set_facecolor(INACTIVE)
    return axes.pcolormesh(
        edges,
        np.arange(len(strips) + 1) - 0.5,
        strips,
        vmin=0,
        vmax=largest,
        cmap="viridis",
    )


def _edges(iterations: np.ndarray) -> np.ndarray:
    """Return where the moments' columns begin, and where the last ends."""
    if len(iterations) == 1:
        return np.array([iterations[0] - 0.5, iterations[0] + 0.5])
    middles = (iterations[1:] + iterations[:-1]) / 2
    return np.concatenate([iterations[:1], middles, iterations[-1:]])


def _group_ticks(axes: Axes, routes: Routes, units: int) -> None:
    groups = len(routes.groups)
    axes.set_ylim(groups * units - 0.5, -0.5)
    axes.set_yticks(np.arange(groups) * units + (units - 1) / 2, routes.labels())
    axes.set_yticks(np.arange(1, groups) * units - 0.5, minor=True)
    axes.tick_params(length=0, which="both")
    for edge in np.arange(1, groups) * units - 0.5:
        axes.axhline(edge, color="white", linewidth=1.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
