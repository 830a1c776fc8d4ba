"""Convert CIFAR-10's Python pickles, as published, to a tree of class folders.

Get https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, unpack it, then
``python tools/dataset_converters/cifar10.py cifar-10-batches-py --out data/cifar10``.
"""

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from gppf_mm.datasets.toy.files import staged_dir, write_image

SPLITS = dict(train=tuple(f"data_batch_{i}" for i in range(1, 6)), val=("test_batch",))
SIDE = 32

# What an array refers to in a pickle, by the names of NumPy 1 and 2. Nothing else is
# loaded, for a pickle can name any function and have it called.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Loads plain containers and NumPy arrays, and refuses everything else."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Look up a name that the pickle refers to.

        Raises:
            pickle.UnpicklingError: If it is not a part of a NumPy array.
        """
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it refers to {module_name}.{global_name}, but CIFAR-10 holds arrays "
                "and lists only: get the file again from its publisher"
            ) from None


def convert(src: Path, out: Path, per_class: dict[str, int]) -> dict[str, int]:
    """Write ``{train,val}/{class}/*.jpg``.

    Args:
        src (Path): The unpacked folder ``cifar-10-batches-py``.
        out (Path): Folder to write; it may exist only if it is empty.
        per_class (dict[str, int]): For each split, how many images of each class to
            keep, the first ones in the published order.

    Returns:
        dict[str, int]: Images per split.

    Raises:
        FileNotFoundError: If a file of the published layout is missing.
        FileExistsError: If ``out`` holds files.
        ValueError: If a file is damaged or is not what the set publishes.
    """
    classes = [name.decode() for name in _load(src / "batches.meta", b"label_names")]
    counts = {}
    with staged_dir(out) as stage:
        for split, batches in SPLITS.items():
            for name in classes:
                (stage / split / name).mkdir(parents=True)
            written = [0] * len(classes)
            for batch in track(batches, f"CIFAR-10 {split}"):
                for image, label in zip(*read_batch(src / batch), strict=True):
                    if written[label] >= per_class[split]:
                        continue
                    name = f"{classes[label]}/{written[label]:04d}.jpg"
                    write_image(stage / split / name, image)
                    written[label] += 1
            counts[split] = sum(written)
    return counts


def read_batch(path: Path) -> tuple[np.ndarray, list[int]]:
    """Read one batch.

    Args:
        path (Path): The pickle.

    Returns:
        tuple[np.ndarray, list[int]]: ``(num_images, 32, 32, 3)`` uint8 BGR, and the
        class of every image.
    """
    pixels, labels = _load(path, b"data"), _load(path, b"labels")
    # Published as three planes in the order red, green, blue.
    planes = pixels.reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes[:, ::-1].transpose(0, 2, 3, 1)), labels


def _load(path: Path, key: bytes) -> Any:
    try:
        with path.open("rb") as file:
            return ArrayUnpickler(file, encoding="bytes").load()[key]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing: pass the folder cifar-10-batches-py that "
            "cifar-10-python.tar.gz unpacks to."
        ) from None
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not loaded: {error}.") from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert CIFAR-10 to class folders")
    parser.add_argument("src", type=Path, help="the folder cifar-10-batches-py")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/cifar10"),
        help="folder to write (default: data/cifar10)",
    )
    parser.add_argument(
        "--train-per-class",
        type=int,
        default=2000,
        help="training images per class, of 5000 (default: 2000)",
    )
    parser.add_argument(
        "--val-per-class",
        type=int,
        default=500,
        help="validation images per class, of 1000 (default: 500)",
    )
    args = parser.parse_args()
    limits = dict(train=args.train_per_class, val=args.val_per_class)
    try:
        counts = convert(args.src, args.out, limits)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    Console().print(f"{args.out}: {counts['train']} train, {counts['val']} val images.")


if __name__ == "__main__":
    main()
