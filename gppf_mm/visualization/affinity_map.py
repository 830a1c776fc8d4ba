"""Task affinity and unit usage as heat maps."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from gppf_mm.analysis import Routes, affinity, affinity_by_stage, unit_usage

from .figures import ABSENT, grid, new_figure, write_cells

_MAX_NUMBERED_UNITS = 12


def affinity_map(routes: Routes) -> Figure:
    """Draw the affinity of the tasks, over all groups and within each stage.

    Args:
        routes: The tasks' routes.

    Returns:
        The figure: the whole on the left, the stages on the right.
    """
    stages = affinity_by_stage(routes)
    tasks = len(routes.tasks)
    columns = min(4 if tasks <= 3 else 3 if tasks <= 5 else 2, len(stages))
    rows = math.ceil(len(stages) / columns)
    label = 0.09 * max(map(len, routes.tasks))
    whole = 0.5 * tasks + label + 1.1
    small = max(0.26 * tasks + 0.5, 1.5)
    height = max(whole, small * rows + label + 0.5) + 0.4
    figure = new_figure(whole + small * columns + label + 1.0, height)
    widths = [whole, small * columns + label + 1.0]
    left, right = figure.subfigures(1, 2, width_ratios=widths, squeeze=False)[0]
    axes = left.subplots()
    _matrix(axes, affinity(routes), routes.tasks, size=8)
    axes.set_title("all groups", fontweight="bold", fontsize=10)
    parts = right.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for part in parts.flat[len(stages) :]:
        part.set_visible(False)
    for index, (stage, matrix) in enumerate(stages.items()):
        part = parts.flat[index]
        # Numbers stay readable with few tasks; the page has all of them in tables.
        image = _matrix(part, matrix, routes.tasks, size=6.5 if tasks <= 5 else 0)
        part.set_title(stage, fontsize=9)
        part.tick_params(labelbottom=index // columns == rows - 1, labelsize=8)
    right.colorbar(image, ax=parts.ravel().tolist(), label="affinity", fraction=0.05)
    figure.suptitle("Task affinity: cosine of the mixing weights, averaged over groups")
    return figure


def usage_map(routes: Routes) -> Figure:
    """Draw how many tasks use each unit, and how much.

    Args:
        routes: The tasks' routes.

    Returns:
        The figure.
    """
    counts, sums = unit_usage(routes)
    groups, units = counts.shape
    numbered = units <= _MAX_NUMBERED_UNITS
    cell = 0.62 if numbered else 0.2
    label = 0.085 * max(map(len, routes.labels())) + 0.4
    width = max(cell * units + 1.0, 3.2) * 2 + label
    figure = new_figure(width, (0.3 if groups <= 24 else 0.2) * groups + 1.6)
    parts = figure.subplots(1, 2, sharey=True)
    tasks = len(routes.tasks)
    for axes, table, name, text in (
        (parts[0], counts, "tasks that activate the unit", "{:.0f}"),
        (parts[1], sums, "sum of their mixing weights", "{:.2f}"),
    ):
        image = axes.imshow(table, vmin=0, vmax=tasks, cmap="Blues", aspect="auto")
        axes.set_facecolor(ABSENT)
        grid(axes, table.shape)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("unit")
        axes.set_xticks(range(units), [str(unit) for unit in range(units)])
        axes.set_yticks(range(groups), routes.labels())
        if numbered:
            texts = [
                ["" if np.isnan(v) else text.format(v) for v in row] for row in table
            ]
            write_cells(axes, texts, np.nan_to_num(table) > 0.65 * tasks, size=8)
    figure.colorbar(image, ax=list(parts), label="tasks", fraction=0.04)
    figure.suptitle(f"Unit usage by {tasks} tasks")
    return figure


def _matrix(
    axes: Axes, matrix: np.ndarray, tasks: tuple[str, ...], size: float
) -> AxesImage:
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    axes.set_facecolor(ABSENT)
    grid(axes, matrix.shape)
    axes.set_xticks(range(len(tasks)), tasks, rotation=90)
    axes.set_yticks(range(len(tasks)), tasks)
    if size:
        texts = [
            ["" if np.isnan(value) else f"{value:.2f}" for value in row]
            for row in matrix
        ]
        write_cells(axes, texts, np.nan_to_num(matrix) > 0.65, size)
    return image
