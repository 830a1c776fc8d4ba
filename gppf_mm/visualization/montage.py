"""Pictures of several tasks on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Width over height from which a picture counts as two, side by side.
_PAIR = 1.7
_WIDTH = 16.0  # inches
_HEADING = 0.4


def plot_montage(
    pictures: Mapping[str, Sequence[str | Path]],
    out_file: str | Path,
    title: str,
    columns: int = 3,
) -> None:
    """Draw one row of pictures for each task.

    Args:
        pictures: The picture files of each row, by the row's heading.
        out_file: The picture to write.
        title: What is drawn.
        columns: Pictures in a row of pairs, ground truth beside prediction; a row of
            single pictures has twice as many. More files are left out. Defaults to 3.

    Raises:
        ValueError: If a row has no picture.
    """
    rows = {
        heading: _read(heading, files, columns) for heading, files in pictures.items()
    }
    heights = [
        _HEADING + _WIDTH / _count(images[0], columns) / _aspect(images[0])
        for images in rows.values()
    ]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=17, fontweight="bold")
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)
    for part, (heading, images) in zip(parts[:, 0], rows.items(), strict=True):
        part.suptitle(heading, fontsize=14)
        axes = part.subplots(1, _count(images[0], columns), squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        for axis, image in zip(axes, images, strict=False):
            axis.imshow(image, interpolation="antialiased")
    Path(out_file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_file, dpi=110)


def _read(heading: str, files: Sequence[str | Path], columns: int) -> list[np.ndarray]:
    if not files:
        raise ValueError(
            f"There is no picture to draw for {heading!r}; draw predictions first: "
            "tools/test.py CONFIG CHECKPOINT --show-dir DIR."
        )
    first = matplotlib.image.imread(files[0])
    others = files[1 : _count(first, columns)]
    return [first, *(matplotlib.image.imread(file) for file in others)]


def _aspect(image: np.ndarray) -> float:
    return image.shape[1] / image.shape[0]


def _count(image: np.ndarray, columns: int) -> int:
    return columns if _aspect(image) > _PAIR else 2 * columns
