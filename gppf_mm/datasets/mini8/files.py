"""What the makers of the tasks have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

Item = TypeVar("Item")
OnImage = Callable[[], None]

# Width and height of the images of blood cells and streets, in pixels.
SIZE = (160, 120)
# Of the official training part of BCCD and CIFAR-10, which have no third part.
TUNE_SHARE = 0.15


def hold_out(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Part a training set into what is for training and what is for tuning.

    Args:
        items: The items, in an order that does not change.

    Returns:
        The training and the tuning items, each in the order given.
    """
    order = np.random.default_rng(len(items)).permutation(len(items))
    chosen = set(order[: round(TUNE_SHARE * len(items))].tolist())
    return (
        [item for index, item in enumerate(items) if index not in chosen],
        [item for index, item in enumerate(items) if index in chosen],
    )


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Read an image.

    Args:
        path: The file.
        flags: OpenCV's. Defaults to colour.

    Returns:
        ``(height, width, 3)`` BGR or ``(height, width)``, uint8.

    Raises:
        FileNotFoundError: If it is missing or no image.
    """
    image = cv2.imread(str(path), flags)
    if image is None:
        raise FileNotFoundError(
            f"{path} is missing or not an image, though its set names it: convert the "
            "set again (docs/en/datasets.md)."
        )
    return image


def require(path: Path) -> Path:
    """Return a path that has to exist.

    Raises:
        FileNotFoundError: If it does not.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; mini8 is made from BCCD, CamVid and CIFAR-10 as "
            "docs/en/datasets.md lays them out. Get and convert them first."
        )
    return path


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return a folder's files of a pattern, sorted, one at least."""
    found = sorted(require(folder).glob(pattern))
    if not found:
        raise FileNotFoundError(f"{folder} holds no {pattern}: convert the set again.")
    return found
