"""Small random stand-ins for public data sets, in their real folders and formats.

The public sets cannot be had in a test; what is read is read by the stock classes, from
the places where the stock recipes look.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (96, 64)  # width, height


def write_stand_ins(root: Path) -> None:
    """Write all sets of ``configs/gppf`` below ``root/data``."""
    data = root / "data"
    rng = np.random.default_rng(0)
    _write_coco(data, rng)
    _write_objects365(data, rng)
    _write_masks(
        data / "ade/ADEChallengeData2016",
        {"training": 4, "validation": 2},
        ("images", "annotations"),
        (".jpg", ".png"),
        range(151),
        rng,
    )
    _write_masks(
        data / "coco_stuff164k",
        {"train2017": 4, "val2017": 2},
        ("images", "annotations"),
        (".jpg", "_labelTrainIds.png"),
        range(171),
        rng,
    )
    _write_masks(
        data / "cityscapes",
        {"train/aachen": 4, "val/frankfurt": 2},
        ("leftImg8bit", "gtFine"),
        ("_leftImg8bit.png", "_gtFine_labelTrainIds.png"),
        range(19),
        rng,
    )
    _write_folders(data / "imagenet", 1000, rng)
    _write_folders(data / "imagenet21k", 5, rng)
    _write_folders(data / "places365", 5, rng)
    _write_voc(data / "VOC2007", rng)


def _image(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _instances(
    file: Path, images: list[str], classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    annotations = []
    for image in range(len(images)):
        for _ in range(3):
            x, y = (int(rng.integers(0, side - 40)) for side in SIZE)
            box = [x, y, 36, 36]
            polygon = [x, y, x + 36, y, x + 36, y + 36, x, y + 36]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=int(rng.integers(len(classes))) + 1,
                    bbox=box,
                    area=36 * 36,
                    segmentation=[polygon],
                    iscrowd=0,
                )
            )
    content = dict(
        images=[
            dict(id=index, file_name=name, width=SIZE[0], height=SIZE[1])
            for index, name in enumerate(images)
        ],
        annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(classes)],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def _write_coco(data: Path, rng: np.random.Generator) -> None:
    from mmdet.datasets import CocoDataset

    for split, count in (("train2017", 4), ("val2017", 2)):
        names = [f"{index:012d}.jpg" for index in range(count)]
        for name in names:
            _image(data / "coco" / split / name, rng)
        file = data / "coco/annotations" / f"instances_{split}.json"
        _instances(file, names, CocoDataset.METAINFO["classes"], rng)


def _write_objects365(data: Path, rng: np.random.Generator) -> None:
    from mmdet.datasets import Objects365V2Dataset

    root = data / "Objects365/Obj365_v2"
    for split in ("train", "val"):
        names = [f"patch0/{index}.jpg" for index in range(4)]
        for name in names:
            _image(root / split / name, rng)
        file = root / "annotations" / f"zhiyuan_objv2_{split}.json"
        _instances(file, names, Objects365V2Dataset.METAINFO["classes"], rng)


def _write_masks(
    root: Path,
    splits: dict[str, int],
    folders: tuple[str, str],
    suffixes: tuple[str, str],
    labels: range,
    rng: np.random.Generator,
) -> None:
    for split, count in splits.items():
        for index in range(count):
            _image(root / folders[0] / split / f"{index:06d}{suffixes[0]}", rng)
            mask = root / folders[1] / split / f"{index:06d}{suffixes[1]}"
            mask.parent.mkdir(parents=True, exist_ok=True)
            # Areas, not noise: a crop may not consist of a single label.
            areas = rng.integers(labels.start, labels.stop, (8, 12), dtype=np.uint8)
            Image.fromarray(areas.repeat(8, 0).repeat(8, 1)).save(mask)


def _write_folders(root: Path, classes: int, rng: np.random.Generator) -> None:
    for split in ("train", "val"):
        for index in range(classes):
            _image(root / split / f"n{index:08d}" / "image.JPEG", rng)


def _write_voc(root: Path, rng: np.random.Generator) -> None:
    from mmpretrain.datasets import VOC

    classes = VOC.METAINFO["classes"]
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    (root / "Annotations").mkdir()
    for split, first in (("trainval", 0), ("test", 8)):
        names = [f"{first + index:06d}" for index in range(8)]
        (lists / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            _image(root / "JPEGImages" / f"{name}.jpg", rng)
            objects = "".join(
                f"<object><name>{classes[rng.integers(len(classes))]}</name>"
                "<difficult>0</difficult></object>"
                for _ in range(2)
            )
            file = root / "Annotations" / f"{name}.xml"
            file.write_text(f"<annotation>{objects}</annotation>")
