"""Convert the BCCD blood cell set, as published, to COCO json.

Get the set with ``git clone https://github.com/Shenggan/BCCD_Dataset``, then
``python tools/dataset_converters/bccd.py BCCD_Dataset --out data/bccd``.
"""

import argparse
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

from rich.console import Console
from rich.progress import track

from gppf_mm.datasets.toy.files import staged_dir

CLASSES = ("RBC", "WBC", "Platelets")
# The published test split serves as val; what is left is for training.
SPLITS = dict(train="trainval", val="test")


def convert(src: Path, out: Path) -> dict[str, int]:
    """Write ``annotations/{train,val}.json`` and the images beside them.

    Args:
        src (Path): The repository, or the folder in it that holds ``Annotations``,
            ``JPEGImages`` and ``ImageSets``.
        out (Path): Folder to write; it may exist only if it is empty.

    Returns:
        dict[str, int]: Images per split.

    Raises:
        FileNotFoundError: If a file of the published layout is missing.
        FileExistsError: If ``out`` holds files.
        ValueError: If an annotation names an unknown class or has no usable box.
    """
    voc = _find_voc(src)
    counts = {}
    with staged_dir(out) as stage:
        (stage / "annotations").mkdir()
        for split, published in SPLITS.items():
            (stage / split).mkdir()
            names = (voc / f"ImageSets/Main/{published}.txt").read_text().split()
            images, annotations = [], []
            for image_id, name in enumerate(track(names, f"BCCD {split}"), start=1):
                image, boxes = read_annotation(voc / f"Annotations/{name}.xml")
                images.append(dict(id=image_id, file_name=f"{name}.jpg", **image))
                for box in boxes:
                    ids = dict(id=len(annotations) + 1, image_id=image_id)
                    annotations.append(ids | box)
                shutil.copyfile(
                    voc / f"JPEGImages/{name}.jpg", stage / split / f"{name}.jpg"
                )
            content = dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=i, name=c) for i, c in enumerate(CLASSES, 1)],
            )
            path = stage / "annotations" / f"{split}.json"
            path.write_text(json.dumps(content))
            counts[split] = len(images)
    return counts


def read_annotation(path: Path) -> tuple[dict, list[dict]]:
    """Read one VOC xml file.

    Args:
        path (Path): The file.

    Returns:
        tuple[dict, list[dict]]: The image's height and width, and its objects as
        COCO has them, without ids.

    Raises:
        ValueError: If an object is of an unknown class or its box is empty.
    """
    root = ET.parse(path).getroot()
    width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
    objects = []
    for item in root.iter("object"):
        name = item.findtext("name")
        if name not in CLASSES:
            raise ValueError(
                f"{path} has an object of class {name!r}, expected one of "
                f"{', '.join(CLASSES)}: is this the BCCD set?"
            )
        corners = [
            int(item.findtext(f"bndbox/{key}"))
            for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        # VOC counts pixels from 1 and includes the last one.
        left, top = max(corners[0] - 1, 0), max(corners[1] - 1, 0)
        right, bottom = min(corners[2], width), min(corners[3], height)
        if right <= left or bottom <= top:
            raise ValueError(
                f"{path} has an empty {name} box {corners} in an image of "
                f"{width}x{height}: correct the file or delete the object."
            )
        box_width, box_height = float(right - left), float(bottom - top)
        objects.append(
            dict(
                category_id=CLASSES.index(name) + 1,
                bbox=[float(left), float(top), box_width, box_height],
                area=box_width * box_height,
                iscrowd=0,
            )
        )
    return dict(height=height, width=width), objects


def _find_voc(src: Path) -> Path:
    for folder in (src, src / "BCCD"):
        if (folder / "ImageSets/Main").is_dir():
            return folder
    raise FileNotFoundError(
        f"Neither {src} nor {src / 'BCCD'} has the folder ImageSets/Main: pass the "
        "cloned repository github.com/Shenggan/BCCD_Dataset."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert BCCD to COCO json")
    parser.add_argument("src", type=Path, help="the cloned BCCD_Dataset repository")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/bccd"),
        help="folder to write (default: data/bccd)",
    )
    args = parser.parse_args()
    try:
        counts = convert(args.src, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    Console().print(f"{args.out}: {counts['train']} train, {counts['val']} val images.")


if __name__ == "__main__":
    main()
