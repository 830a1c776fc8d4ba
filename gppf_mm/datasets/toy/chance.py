"""What a model that has learnt nothing reaches."""

from pathlib import Path

import cv2
import numpy as np

from .classification import CLS_CLASSES
from .segmentation import SEG_CLASSES


def classification_chance(num_classes: int) -> float:
    """Expected accuracy of a uniform guess, in per cent."""
    return 100.0 / num_classes


def segmentation_chance(
    ann_dir: str | Path, num_classes: int, ignore_index: int = 255
) -> float:
    """mIoU of predicting the most frequent class everywhere.

    Args:
        ann_dir (str | Path): Folder of PNG masks.
        num_classes (int): Number of classes.
        ignore_index (int): Label that does not count. Defaults to 255.

    Returns:
        float: In per cent; as mmseg counts it, classes that never occur are left
        out of the mean.

    Raises:
        FileNotFoundError: If the folder holds no mask.
        ValueError: If a mask cannot be read or holds a label outside the classes.
    """
    paths = sorted(Path(ann_dir).glob("*.png"))
    if not paths:
        raise FileNotFoundError(f"No PNG mask in {ann_dir}: check the folder.")
    counts = np.zeros(256, np.int64)
    for path in paths:
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if mask is None or mask.ndim != 2:
            raise ValueError(f"{path} is not a PNG mask of one channel: replace it.")
        counts += np.bincount(mask.ravel(), minlength=256)
    counts[ignore_index] = 0
    if counts[num_classes:].any():
        raise ValueError(
            f"The masks in {ann_dir} hold labels up to {np.flatnonzero(counts)[-1]}, "
            f"but only 0 to {num_classes - 1} and {ignore_index} were expected."
        )
    present = counts[counts > 0]
    return float(100 * present.max() / present.sum() / len(present))


def toy_chance(root: str | Path) -> dict[str, float]:
    """Chance level of each toy task on its validation split, in per cent.

    Args:
        root (str | Path): Folder that :func:`make_toy` wrote.

    Returns:
        dict[str, float]: ``det`` (bbox_mAP_50; random boxes score about 0), ``seg``
        (mIoU of the most frequent class) and ``cls`` (accuracy).
    """
    return dict(
        det=0.0,
        seg=segmentation_chance(Path(root) / "seg/ann/val", len(SEG_CLASSES)),
        cls=classification_chance(len(CLS_CLASSES)),
    )
