"""Streets: by day, by night, and what is in them."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from ..toy.files import write_image
from .files import SIZE, OnImage, list_files, read_image

# Index of a class in CamVid's masks. The other classes are nearly always there.
TAGS: Mapping[str, int] = dict(
    Pole=2, SignSymbol=6, Fence=7, Car=8, Pedestrian=9, Bicyclist=10
)
# The share of the pixels from which on a thing counts. With it each tag is in 16 to
# 88 % of the training images and in 11 to 82 % of the test images.
TAG_THRESHOLD = 0.005
_SPLITS = dict(train="train", tune="val", test="test")


def tags_of(mask: np.ndarray) -> list[int]:
    """Return the indices into `TAGS` of what is in an image.

    Args:
        mask: ``(height, width)`` uint8 with CamVid's classes.
    """
    return [
        index
        for index, label in enumerate(TAGS.values())
        if (mask == label).mean() > TAG_THRESHOLD
    ]


def at_night(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make a night image of a day image.

    It is another view: a window of 70 to 90 % of the image, mirrored by chance. Light
    is taken away, mostly the red, and a sensor's noise is added.

    Args:
        image: ``(height, width, 3)`` uint8 BGR.
        mask: ``(height, width)`` uint8.
        rng: Source of every random choice.

    Returns:
        Image and mask, of the sizes given.
    """
    size = image.shape[1::-1]
    share = rng.uniform(0.7, 0.9)
    width, height = (round(share * side) for side in size)
    left, top = (
        int(rng.integers(side - part + 1))
        for side, part in zip(size, (width, height), strict=True)
    )
    window = slice(top, top + height), slice(left, left + width)
    image = cv2.resize(image[window], size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask[window], size, interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    # The exponent presses the shadows down; factors for blue, green, red.
    tint = rng.uniform(0.35, 0.55) * np.array((1.0, 0.7, 0.5))
    light: np.ndarray = (image / 255.0) ** 1.4 * tint
    light += 0.02 * np.array((1.0, 0.6, 0.4))
    light += 0.03 * rng.standard_normal(light.shape)
    return (255 * light.clip(0, 1)).astype(np.uint8), np.ascontiguousarray(mask)


def write_streets(camvid: Path, out: Path, on_image: OnImage) -> None:
    """Write ``scene`` and ``night`` as images and masks, ``tags`` as json.

    Args:
        camvid: CamVid as its converter writes it.
        out: Folder to write into.
        on_image: Called after every image of CamVid.
    """
    (out / "tags").mkdir()
    for split, official in _SPLITS.items():
        for task in ("scene", "night"):
            for kind in ("img", "ann"):
                (out / task / kind / split).mkdir(parents=True)
        entries = []
        for mask_path in list_files(camvid / "ann" / official, "*.png"):
            name = mask_path.stem
            mask = read_image(mask_path, cv2.IMREAD_GRAYSCALE)
            image = read_image(camvid / "img" / official / f"{name}.jpg")
            entries.append(dict(img_path=f"{name}.jpg", gt_label=tags_of(mask)))
            _write_pair(out / "scene", split, name, image, mask)
            # Keyed by the name, so that a file does not depend on the others.
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            _write_pair(out / "night", split, name, *at_night(image, mask, rng))
            on_image()
        found = dict(metainfo=dict(classes=list(TAGS)), data_list=entries)
        (out / "tags" / f"{split}.json").write_text(json.dumps(found))


def _write_pair(
    root: Path, split: str, name: str, image: np.ndarray, mask: np.ndarray
) -> None:
    image = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, SIZE, interpolation=cv2.INTER_NEAREST)
    write_image(root / "img" / split / f"{name}.jpg", image)
    write_image(root / "ann" / split / f"{name}.png", mask)
