"""The toy data set on disk, written once."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .classification import CLS_CLASSES, CLS_SIZE, write_classification
from .detection import DET_CLASSES, DET_SIZE, write_detection
from .files import staged_dir
from .segmentation import SEG_CLASSES, SEG_SIZE, write_segmentation

MANIFEST = "manifest.json"

# Raised whenever the same seed would draw other images than before.
_VERSION = 1

_WRITERS = dict(det=write_detection, seg=write_segmentation, cls=write_classification)


def make_toy(
    out_dir: str | Path,
    seed: int = 0,
    num_train: int = 600,
    num_val: int = 150,
    on_image: Callable[[], None] | None = None,
) -> Path:
    """Write the toy data set, or return at once where it is there already.

    Every image is drawn from a generator of its own, keyed by seed, split, task and
    index: a larger set begins with the images of a smaller one.

    Args:
        out_dir (str | Path): Folder to write; it appears when the set is complete.
        seed (int): Seed of the set. Defaults to 0.
        num_train (int): Training images per task. Defaults to 600.
        num_val (int): Validation images per task. Defaults to 150.
        on_image (Callable[[], None] | None): Called after every image written,
            for a progress bar. Defaults to None.

    Returns:
        Path: ``out_dir``, with the folders ``det`` (COCO json), ``seg`` (PNG masks)
        and ``cls`` (class folders).

    Raises:
        ValueError: If ``out_dir`` holds a toy set made with other parameters, if
            the seed is negative, or if a split has fewer images than there are
            classes.
        FileExistsError: If ``out_dir`` holds anything else.
    """
    out_dir = Path(out_dir)
    manifest = _manifest(seed, num_train, num_val)
    if _is_written(out_dir, manifest):
        return out_dir
    try:
        with staged_dir(out_dir) as stage:
            _write(stage, seed, dict(train=num_train, val=num_val), on_image)
            (stage / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    except FileExistsError:
        # Another process, such as a second rank, may have been faster.
        if not _is_written(out_dir, manifest):
            raise
    return out_dir


def _manifest(seed: int, num_train: int, num_val: int) -> dict:
    if seed < 0:
        raise ValueError(f"The seed must not be negative, but is {seed}.")
    for name, count in dict(num_train=num_train, num_val=num_val).items():
        if count < len(CLS_CLASSES):
            raise ValueError(
                f"{name} is {count}, but every split needs an image of each of the "
                f"{len(CLS_CLASSES)} classes: use at least {len(CLS_CLASSES)}."
            )
    return dict(
        version=_VERSION,
        seed=seed,
        num_train=num_train,
        num_val=num_val,
        tasks=dict(
            det=dict(size=DET_SIZE, classes=list(DET_CLASSES)),
            seg=dict(size=SEG_SIZE, classes=list(SEG_CLASSES)),
            cls=dict(size=CLS_SIZE, classes=list(CLS_CLASSES)),
        ),
    )


def _is_written(out_dir: Path, manifest: dict) -> bool:
    path = out_dir / MANIFEST
    if not path.is_file():
        return False
    found = json.loads(path.read_text())
    if found == manifest:
        return True
    differing = [key for key in manifest if found.get(key) != manifest[key]]
    raise ValueError(
        f"{out_dir} holds a toy set made with other parameters: "
        + ", ".join(
            f"{key} is {found.get(key)!r} there and {manifest[key]!r} here"
            for key in differing
        )
        + ". Remove the folder, choose another one, or ask for the same parameters."
    )


def _write(
    root: Path,
    seed: int,
    counts: dict[str, int],
    on_image: Callable[[], None] | None,
) -> None:
    for split_key, (split, count) in enumerate(counts.items()):
        for task_key, (task, write) in enumerate(_WRITERS.items()):
            generators = [
                np.random.default_rng((seed, split_key, task_key, index))
                for index in range(count)
            ]
            write(root / task, split, generators, on_image or _ignore)


def _ignore() -> None:
    pass
