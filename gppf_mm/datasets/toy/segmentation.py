"""Toy segmentation: patterned regions at night, as images and PNG masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .files import write_image
from .shapes import SHAPES, fill, shape_outline
from .textures import PATTERNS, pattern, smooth_noise, to_image

SEG_CLASSES = PATTERNS
SEG_SIZE = 96


def render_segmentation(
    rng: np.random.Generator, size: int = SEG_SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one night image of two to four regions, told apart by their pattern.

    The outline and the colour of a region say nothing about its class.

    Args:
        rng (np.random.Generator): Source of every random choice.
        size (int): Side of the image, in pixels. Defaults to :data:`SEG_SIZE`.

    Returns:
        tuple[np.ndarray, np.ndarray]: The image, ``(size, size, 3)`` uint8 BGR, and
        the mask, ``(size, size)`` uint8 with indices into :data:`SEG_CLASSES`.
    """
    image = _night_colour(rng) + 8 * smooth_noise(rng, size, 5, 3)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(2, 5)):
        radius = rng.uniform(0.2, 0.36) * size
        centre = tuple(rng.uniform(0.15 * size, 0.85 * size, 2))
        shape = SHAPES[rng.integers(len(SHAPES))]
        region = fill(
            shape_outline(shape, centre, radius, rng.uniform(0, 2 * np.pi)), size
        )
        label = int(rng.integers(1, len(SEG_CLASSES)))
        relief = pattern(rng, SEG_CLASSES[label], size)[..., None]
        glow = _night_colour(rng) + rng.uniform(18, 40) * relief
        image[region] = glow[region]
        mask[region] = label
    image += 5 * rng.standard_normal(image.shape, np.float32)
    return to_image(image), mask


def write_segmentation(
    root: Path,
    split: str,
    generators: list[np.random.Generator],
    on_image: Callable[[], None],
) -> None:
    """Write one split as ``img/{split}/*.png`` and ``ann/{split}/*.png``.

    Args:
        root (Path): Folder of the segmentation set.
        split (str): Name of the split.
        generators (list[np.random.Generator]): One per image.
        on_image (Callable[[], None]): Called after every image.
    """
    (root / "img" / split).mkdir(parents=True)
    (root / "ann" / split).mkdir(parents=True)
    for index, rng in enumerate(generators, start=1):
        image, mask = render_segmentation(rng)
        write_image(root / "img" / split / f"{index:06d}.png", image)
        write_image(root / "ann" / split / f"{index:06d}.png", mask)
        on_image()


def _night_colour(rng: np.random.Generator) -> np.ndarray:
    """A dark BGR colour in which blue prevails."""
    return rng.uniform((50, 25, 15), (110, 70, 60)).astype(np.float32)
