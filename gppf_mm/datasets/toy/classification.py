"""Toy classification: ink sketches on paper, as a tree of class folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .files import write_image
from .shapes import SHAPES, shape_outline, stroke
from .textures import smooth_noise, to_image

CLS_CLASSES = tuple(sorted((*SHAPES, "spiral")))
CLS_SIZE = 64


def render_classification(
    rng: np.random.Generator, label: int, size: int = CLS_SIZE
) -> np.ndarray:
    """Sketch one figure with an unsteady pen.

    Args:
        rng (np.random.Generator): Source of every random choice.
        label (int): Index into :data:`CLS_CLASSES`.
        size (int): Side of the image, in pixels. Defaults to :data:`CLS_SIZE`.

    Returns:
        np.ndarray: ``(size, size, 3)`` uint8 BGR.
    """
    radius = rng.uniform(0.26, 0.42) * size
    centre = tuple(rng.uniform(radius, size - radius, 2))
    angle = rng.uniform(0, 2 * np.pi)
    name = CLS_CLASSES[label]
    if name == "spiral":
        outline = _spiral(centre, radius, angle)
    else:
        outline = shape_outline(name, centre, radius, angle)
    outline = outline + rng.normal(0, 0.012 * size, outline.shape)
    ink = stroke(outline, size, int(rng.integers(2, 4)), closed=name != "spiral")

    paper = rng.uniform((175, 205, 215), (225, 240, 250))
    colour = rng.uniform((40, 20, 10), (130, 60, 60))
    # A stray line that crosses the sheet belongs to no class.
    stray = 0.5 * stroke(rng.uniform(0, size, (2, 2)), size, 1, closed=False)
    ink = np.maximum(ink, stray)[..., None]
    image = paper + (colour - paper) * ink
    image = image + 6 * smooth_noise(rng, size, 5, 1)
    return to_image(image + 6 * rng.standard_normal((size, size, 1), np.float32))


def write_classification(
    root: Path,
    split: str,
    generators: list[np.random.Generator],
    on_image: Callable[[], None],
) -> None:
    """Write one split as ``{split}/{class}/*.png``, the classes in turn.

    Args:
        root (Path): Folder of the classification set.
        split (str): Name of the split.
        generators (list[np.random.Generator]): One per image.
        on_image (Callable[[], None]): Called after every image.
    """
    for name in CLS_CLASSES:
        (root / split / name).mkdir(parents=True)
    for index, rng in enumerate(generators):
        label = index % len(CLS_CLASSES)
        path = root / split / CLS_CLASSES[label] / f"{index + 1:06d}.png"
        write_image(path, render_classification(rng, label))
        on_image()


def _spiral(centre: tuple[float, float], radius: float, angle: float) -> np.ndarray:
    """Two and a half turns from the centre outwards, ``(40, 2)`` x and y."""
    part = np.linspace(0.08, 1, 40)
    turn = angle + 5 * np.pi * part
    return radius * part[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1) + centre
