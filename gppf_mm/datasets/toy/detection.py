"""Toy detection: solid shapes over daylight texture, as COCO json."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .files import write_image
from .shapes import SHAPES, fill, shape_outline
from .textures import smooth_noise, to_image

DET_CLASSES = SHAPES
DET_SIZE = 128

# Mean colours (BGR) of the daylight ground: sky, grass, sand.
_GROUNDS = ((225, 190, 150), (120, 175, 130), (165, 205, 220))


@dataclass(frozen=True)
class Detection:
    """One image and its objects.

    Attributes:
        image (np.ndarray): ``(size, size, 3)`` uint8 BGR.
        masks (np.ndarray): ``(num_objects, size, size)`` bool, the visible pixels.
        labels (list[int]): Index into :data:`DET_CLASSES` of every object.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: list[int]


def render_detection(rng: np.random.Generator, size: int = DET_SIZE) -> Detection:
    """Draw one image of one to five partly overlapping shapes.

    Args:
        rng (np.random.Generator): Source of every random choice.
        size (int): Side of the image, in pixels. Defaults to :data:`DET_SIZE`.

    Returns:
        Detection: The image with exact masks.
    """
    ground = np.array(_GROUNDS[rng.integers(len(_GROUNDS))], np.float32)
    image = ground + 20 * smooth_noise(rng, size, 6, 3)
    owner = np.full((size, size), -1)
    labels: list[int] = []
    for centre_x, centre_y, radius in _place(rng, size):
        label = int(rng.integers(len(DET_CLASSES)))
        outline = shape_outline(
            DET_CLASSES[label], (centre_x, centre_y), radius, rng.uniform(0, 2 * np.pi)
        )
        mask = fill(outline, size)
        colour = _unlike(rng, ground)
        texture = colour + 12 * smooth_noise(rng, size, 8, 3)
        image[mask] = texture[mask]
        owner[mask] = len(labels)
        labels.append(label)
    image += 8 * rng.standard_normal(image.shape, np.float32)
    masks = owner == np.arange(len(labels))[:, None, None]
    return Detection(to_image(image), masks, labels)


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Smallest box around the true pixels, as COCO's (x, y, width, height)."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def write_detection(
    root: Path,
    split: str,
    generators: list[np.random.Generator],
    on_image: Callable[[], None],
) -> None:
    """Write one split as ``{split}/*.png`` and ``annotations/{split}.json``.

    Args:
        root (Path): Folder of the detection set.
        split (str): Name of the split.
        generators (list[np.random.Generator]): One per image.
        on_image (Callable[[], None]): Called after every image.
    """
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for image_id, rng in enumerate(generators, start=1):
        sample = render_detection(rng)
        name = f"{image_id:06d}.png"
        write_image(root / split / name, sample.image)
        height, width = sample.image.shape[:2]
        images.append(dict(id=image_id, file_name=name, height=height, width=width))
        for mask, label in zip(sample.masks, sample.labels, strict=True):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=label + 1,
                    bbox=tight_box(mask),
                    area=int(mask.sum()),
                    iscrowd=0,
                )
            )
        on_image()
    categories = [dict(id=i, name=name) for i, name in enumerate(DET_CLASSES, start=1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / "annotations" / f"{split}.json").write_text(json.dumps(content))


def _place(rng: np.random.Generator, size: int) -> list[tuple[float, float, float]]:
    """Circles (x, y, radius) inside the canvas that overlap only a little."""
    circles: list[tuple[float, float, float]] = []
    wanted = rng.integers(1, 6)
    for _ in range(20):
        radius = rng.uniform(0.09, 0.2) * size
        x, y = rng.uniform(radius, size - 1 - radius, 2)
        # At 0.85 of touching, every shape keeps most of its area in sight.
        if all(
            np.hypot(x - cx, y - cy) > 0.85 * (radius + cr) for cx, cy, cr in circles
        ):
            circles.append((x, y, radius))
        if len(circles) == wanted:
            break
    return circles


def _unlike(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """A colour that differs visibly from the ground's."""
    colour = rng.uniform(20, 240, 3)
    while np.abs(colour - ground).max() < 70:
        colour = rng.uniform(20, 240, 3)
    return colour.astype(np.float32)
