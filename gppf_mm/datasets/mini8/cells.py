"""Blood cells: where they are, and how many."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from ..toy.files import write_image
from .files import SIZE, OnImage, hold_out, read_image, require

CELL_CLASSES = ("RBC", "WBC", "Platelets")
# The most cells of each bin but the last, of a quarter of an image.
COUNT_EDGES = (2, 3, 4)
COUNT_BINS = ("0-2", "3", "4", "5+")


def bin_of(count: int) -> int:
    """Return the index into `COUNT_BINS` of a number of cells."""
    return sum(count > edge for edge in COUNT_EDGES)


def write_cells(bccd: Path, out: Path, on_image: OnImage) -> None:
    """Write ``cells`` as COCO json and ``count`` as lists of images and labels.

    ``count`` has the quarters of the images, so that it has four times as many of them
    as ``cells`` and shows cells at twice the size. A cell counts where its box's centre
    is.

    Args:
        bccd: BCCD as its converter writes it.
        out: Folder to write into.
        on_image: Called after every image of BCCD.
    """
    train, test = (
        json.loads(require(bccd / f"annotations/{name}.json").read_text())
        for name in ("train", "val")
    )
    kept, tuned = hold_out(train["images"])
    parts = dict(
        train=("train", train, kept),
        tune=("train", train, tuned),
        test=("val", test, test["images"]),
    )
    (out / "cells/annotations").mkdir(parents=True)
    for split, (folder, content, images) in parts.items():
        boxes = _boxes_by_image(content["annotations"])
        written: list[dict] = []
        lines: list[str] = []
        for task in ("cells", "count"):
            (out / task / split).mkdir(parents=True)
        for info in images:
            image = read_image(bccd / folder / info["file_name"])
            name = info["file_name"]
            small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
            write_image(out / "cells" / split / name, small)
            written += _scaled(boxes.get(info["id"], []), info, len(written))
            lines += _write_quarters(
                out / "count" / split, name, image, boxes.get(info["id"], [])
            )
            on_image()
        shrunk = [dict(info, width=SIZE[0], height=SIZE[1]) for info in images]
        found = dict(content, images=shrunk, annotations=written)
        path = out / "cells/annotations" / f"{split}.json"
        path.write_text(json.dumps(found))
        (out / "count" / f"{split}.txt").write_text("".join(lines))


def _boxes_by_image(annotations: Sequence[dict]) -> dict[int, list[dict]]:
    boxes: dict[int, list[dict]] = {}
    for item in annotations:
        boxes.setdefault(item["image_id"], []).append(item)
    return boxes


def _scaled(
    boxes: Sequence[dict], info: Mapping[str, Any], before: int
) -> list[dict[str, Any]]:
    """Return COCO annotations for the image at its new size."""
    x_scale, y_scale = SIZE[0] / info["width"], SIZE[1] / info["height"]
    return [
        dict(
            item,
            id=before + index,
            bbox=[
                value * scale
                for value, scale in zip(
                    item["bbox"], (x_scale, y_scale) * 2, strict=True
                )
            ],
            area=item["area"] * x_scale * y_scale,
        )
        for index, item in enumerate(boxes, start=1)
    ]


def _write_quarters(
    folder: Path, name: str, image: Any, boxes: Sequence[dict]
) -> list[str]:
    """Write an image's quarters and return their lines for the list."""
    height, width = (side // 2 for side in image.shape[:2])
    lines = []
    for index in range(4):
        top, left = height * (index // 2), width * (index % 2)
        part = image[top : top + height, left : left + width]
        count = sum(
            left <= x + w / 2 < left + width and top <= y + h / 2 < top + height
            for x, y, w, h in (item["bbox"] for item in boxes)
        )
        file = f"{Path(name).stem}_{index}.jpg"
        write_image(folder / file, cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA))
        lines.append(f"{file} {bin_of(count)}\n")
    return lines
