"""What the figures of routing have in common."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

DPI = 110
ABSENT = "0.97"
INACTIVE = "0.88"


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches, without a window or global state."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def to_array(figure: Figure) -> np.ndarray:
    """Return a figure as an image, RGB, uint8, of shape (H, W, 3)."""
    figure.draw_without_rendering()  # The layout needs the sizes of the texts.
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    return np.ascontiguousarray(pixels[..., :3])


def to_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    buffer = io.BytesIO()
    imsave(buffer, to_array(figure), format="png", dpi=DPI)
    return buffer.getvalue()


def save(figure: Figure, out_file: str | Path) -> None:
    """Write a figure to a PNG file, and make its folder."""
    Path(out_file).parent.mkdir(parents=True, exist_ok=True)
    Path(out_file).write_bytes(to_png(figure))


def grid(axes: Axes, shape: tuple[int, int]) -> None:
    """Draw white lines between the cells of a table, and no frame."""
    axes.set_yticks(np.arange(1, shape[0]) - 0.5, minor=True)
    axes.set_xticks(np.arange(1, shape[1]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def write_cells(
    axes: Axes, texts: Sequence[Sequence[str]], dark: np.ndarray, size: float = 7
) -> None:
    """Write into the cells of a table, white where they are dark."""
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            color = "white" if dark[row, column] else "black"
            axes.text(
                column, row, text, ha="center", va="center", fontsize=size, color=color
            )
