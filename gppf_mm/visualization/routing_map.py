"""The routing map: which units each task activates, and how strongly."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from gppf_mm.analysis import Routes

from .figures import ABSENT, INACTIVE, grid, new_figure, write_cells

_MAX_NUMBERED_UNITS = 8
_MAX_TALL_GROUPS = 24
_WIDTH = 12.0  # inches, of all the maps in a row


def routing_map(routes: Routes, title: str = "Routing map") -> Figure:
    """Draw a heat map of groups by units for each task.

    Args:
        routes: The tasks' routes.
        title: What is drawn. Defaults to ``'Routing map'``.

    Returns:
        The figure, with at most as many maps in a row as stay readable.
    """
    groups, units = len(routes.groups), max(routes.units)
    numbered = units <= _MAX_NUMBERED_UNITS
    cell = 0.5 if numbered else max(0.1, min(0.26, 6.0 / units))
    width = max(cell * units + 0.35, 1.7)
    columns, rows = _layout(len(routes.tasks), int(_WIDTH / width))
    height = (0.3 if groups <= _MAX_TALL_GROUPS else 0.2) * groups + 0.75
    label = 0.085 * max(map(len, routes.labels())) + 0.4
    figure = new_figure(max(width * columns + label + 1.1, 7.0), height * rows + 0.8)
    parts = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    largest = max(np.nanmax(table) for table in routes.weights.values())
    for axes in parts.flat[len(routes.tasks) :]:
        axes.set_visible(False)
    for index, (task, table) in enumerate(routes.weights.items()):
        axes = parts.flat[index]
        image = _draw(axes, table, largest, numbered)
        axes.set_title(task, fontweight="bold", fontsize=10)
        axes.tick_params(labelbottom=True)
        axes.set_xticks(range(units), [str(unit) for unit in range(units)])
        if not numbered:
            axes.set_xticks(range(0, units, 4), [str(u) for u in range(0, units, 4)])
        axes.set_yticks(range(groups), routes.labels())
        if index + columns >= len(routes.tasks):
            axes.set_xlabel("unit")
    figure.colorbar(
        image, ax=parts.ravel().tolist(), label="mixing weight", fraction=0.04
    )
    figure.suptitle(f"{title}\ngrey: not activated; groups from input to output")
    return figure


def _layout(tasks: int, most: int) -> tuple[int, int]:
    """Return columns and rows, with rows as even as they can be."""
    rows = math.ceil(tasks / max(1, most))
    return math.ceil(tasks / rows), rows


def _draw(axes: Axes, table: np.ndarray, largest: float, numbered: bool) -> AxesImage:
    active = np.where(table > 0, table, np.nan)
    image = axes.imshow(active, vmin=0, vmax=largest, cmap="viridis", aspect="auto")
    # What is not activated shows the background; what is not there is paler.
    axes.set_facecolor(INACTIVE)
    for row, column in np.argwhere(np.isnan(table)):
        axes.add_patch(_cell(row, column))
    grid(axes, table.shape)
    if numbered:
        texts = [[f"{w:.2f}" if w > 0 else "" for w in line] for line in table]
        dark = np.nan_to_num(active, nan=largest) < 0.45 * largest
        write_cells(axes, texts, dark)
    return image


def _cell(row: int, column: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, color=ABSENT, linewidth=0)
