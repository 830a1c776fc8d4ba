"""The eight tasks and the held-out set on disk, written once."""

import json
from pathlib import Path

import numpy as np

from ..toy.detection import write_detection
from ..toy.files import staged_dir
from ..toy.segmentation import write_segmentation
from .cells import write_cells
from .files import OnImage
from .objects import write_objects
from .streets import write_streets

SPLITS = ("train", "tune", "test")
# Per cent of the held-out training set, to fine-tune on.
FRACTIONS = (1, 10, 100)
MANIFEST = "manifest.json"
# Raised whenever the same sources would give other files than before.
_VERSION = 1
_TOY_IMAGES = dict(train=600, tune=150, test=300)
# Apart from the seeds that one tries: these are not the images of `make_toy`.
_TOY_SEED = 8


def make_mini8(
    data: str | Path,
    out: str | Path,
    on_image: OnImage | None = None,
    toy_images: dict[str, int] | None = None,
) -> Path:
    """Make mini8, or return at once where it is there already.

    Args:
        data: The folder that holds ``bccd``, ``camvid`` and ``cifar10`` as their
            converters write them.
        out: Folder to write; it appears when the set is complete.
        on_image: Called after every source image, for a progress bar. Defaults to None.
        toy_images: Toy images of each split. Defaults to None, 600, 150 and 300.

    Returns:
        ``out``, with a folder for each task.

    Raises:
        FileNotFoundError: If a source is missing.
        FileExistsError: If ``out`` holds anything else.
    """
    data, out = Path(data), Path(out)
    toy_images = toy_images or _TOY_IMAGES
    manifest = dict(version=_VERSION, toy_images=toy_images)
    path = out / MANIFEST
    if path.is_file() and json.loads(path.read_text()) == manifest:
        return out
    on_image = on_image or _ignore
    with staged_dir(out) as stage:
        write_cells(data / "bccd", stage, on_image)
        write_streets(data / "camvid", stage, on_image)
        write_objects(data / "cifar10", stage, FRACTIONS, on_image)
        _write_toy(stage, toy_images, on_image)
        (stage / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return out


def _write_toy(root: Path, counts: dict[str, int], on_image: OnImage) -> None:
    writers = dict(toydet=write_detection, toyseg=write_segmentation)
    for split_key, split in enumerate(SPLITS):
        for task_key, (task, write) in enumerate(writers.items()):
            generators = [
                np.random.default_rng((_TOY_SEED, split_key, task_key, index))
                for index in range(counts[split])
            ]
            write(root / task, split, generators, on_image)


def _ignore() -> None:
    pass
