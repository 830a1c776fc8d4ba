"""Tiny stand-ins of the three sets that mini8 is made from, as converters write them."""

import json
from pathlib import Path

import cv2
import numpy as np

from gppf_mm.datasets.mini8 import CELL_CLASSES, HELDOUT, OBJECTS, make_mini8

TOY = dict(train=4, tune=2, test=2)


def make_sources(data: Path, seed: int = 0) -> Path:
    """Write ``bccd``, ``camvid`` and ``cifar10`` of a few random images; return it."""
    rng = np.random.default_rng(seed)
    for split, count in dict(train=8, val=3).items():
        _write_cells(data / "bccd", split, count, rng)
    for split in ("train", "val", "test"):
        for kind, suffix in dict(img="jpg", ann="png").items():
            folder = data / "camvid" / kind / split
            folder.mkdir(parents=True)
            for index in range(3):
                image = rng.integers(0, 256, (60, 80, 3), np.uint8)
                # Regions, not single pixels: they survive the resizing.
                small = rng.choice([0, 2, 3, 6, 7, 8, 9, 10, 255], (3, 4))
                mask = np.kron(small, np.ones((20, 20))).astype(np.uint8)
                path = folder / f"{split}{index}.{suffix}"
                cv2.imwrite(str(path), mask if kind == "ann" else image)
    for split, count in dict(train=10, val=2).items():
        for name in OBJECTS + HELDOUT:
            folder = data / "cifar10" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 256, (32, 32, 3), np.uint8)
                cv2.imwrite(str(folder / f"{index:04d}.jpg"), image)
    return data


def make_tiny(folder: Path) -> Path:
    """Write a tiny mini8 where a run in ``folder`` looks for it; return ``folder``."""
    make_mini8(make_sources(folder / "sources"), folder / "data/mini8", toy_images=TOY)
    return folder


def _write_cells(root: Path, split: str, count: int, rng: np.random.Generator) -> None:
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id in range(1, count + 1):
        name = f"{split}{image_id}.jpg"
        image = rng.integers(0, 256, (480, 640, 3), np.uint8)
        cv2.imwrite(str(root / split / name), image)
        images.append(dict(id=image_id, file_name=name, width=640, height=480))
        for _ in range(int(rng.integers(1, 20))):
            x, y = rng.uniform(0, 540), rng.uniform(0, 380)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=int(rng.integers(1, 4)),
                    bbox=[x, y, 80.0, 60.0],
                    area=4800.0,
                    iscrowd=0,
                )
            )
    categories = [dict(id=i, name=n) for i, n in enumerate(CELL_CLASSES, start=1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / "annotations" / f"{split}.json").write_text(json.dumps(content))
