"""CIFAR-10 in two: six classes to train on, four that are held out."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .files import OnImage, hold_out, list_files

OBJECTS = ("airplane", "bird", "cat", "deer", "frog", "ship")
HELDOUT = ("automobile", "dog", "horse", "truck")


def write_objects(
    cifar10: Path, out: Path, fractions: Sequence[int], on_image: OnImage
) -> None:
    """Write ``objects`` and ``heldout`` as class folders and lists.

    Args:
        cifar10: CIFAR-10 as its converter writes it.
        out: Folder to write into.
        fractions: Per cent of the held-out training set, for each of which there is a
            list ``heldout/train_<per cent>.txt``, of all classes alike. A larger one
            has the images of a smaller one.
        on_image: Called after every image.
    """
    for task, classes in dict(objects=OBJECTS, heldout=HELDOUT).items():
        lines: dict[str, list[str]] = dict(train=[], tune=[], test=[])
        for label, name in enumerate(classes):
            kept, tuned = hold_out(list_files(cifar10 / "train" / name, "*.jpg"))
            test = list_files(cifar10 / "val" / name, "*.jpg")
            for split, files in dict(train=kept, tune=tuned, test=test).items():
                folder = out / task / split / name
                folder.mkdir(parents=True)
                for file in files:
                    shutil.copyfile(file, folder / file.name)
                    lines[split].append(f"{name}/{file.name} {label}\n")
                    on_image()
        for split, entries in lines.items():
            (out / task / f"{split}.txt").write_text("".join(entries))
        if task == "heldout":
            _write_fractions(out / task, lines["train"], fractions, len(classes))


def _write_fractions(
    folder: Path, entries: Sequence[str], fractions: Sequence[int], num_classes: int
) -> None:
    by_class = np.array(entries, dtype=object).reshape(num_classes, -1)
    by_class = np.random.default_rng(0).permutation(by_class, axis=1)
    for fraction in fractions:
        count = max(1, round(by_class.shape[1] * fraction / 100))
        path = folder / f"train_{fraction}.txt"
        path.write_text("".join(by_class[:, :count].ravel()))
