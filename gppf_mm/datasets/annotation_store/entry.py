"""One dataset's annotations on disk.

An entry is a folder with the serialised samples as MMEngine makes them, where each of
them ends, and the attributes that loading gave the dataset. It never changes.
"""

import json
import os
import pickle
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from .files import (
    PROTOCOL,
    check_own_folder,
    make_own_folder,
    read_pickle,
    sync,
    write_json,
    write_pickle,
)
from .late import add_late_attributes
from .mapped_array import map_array

_SAMPLES, _ENDS = "samples.bin", "ends.bin"
_ATTRIBUTES, _CONTENT = "attributes.pkl", "entry.json"
# Attributes whose pickle is larger are read when they are asked for (our choice).
_LATE_BYTES = 1 << 20


@dataclass(frozen=True)
class Attributes:
    """What loading changed in a dataset besides its samples.

    Attributes:
        values: The pickled value of each new or changed attribute.
        removed: The attributes that are gone.
    """

    values: Mapping[str, bytes]
    removed: tuple[str, ...] = ()


def write_entry(
    folder: Path,
    chunks: Iterable[tuple[np.ndarray, np.ndarray]],
    attributes: Attributes,
) -> None:
    """Write an entry; it appears whole or not at all.

    Args:
        folder: The entry's name. If there is an entry of this name, it is replaced.
        chunks: The samples in one or several parts, each as MMEngine's ``data_bytes``
            (uint8, shape (B,)) and ``data_address`` (int64, shape (N,)): their pickles
            in a row, and where each ends, counted from the part's begin.
        attributes: What loading changed in the dataset.

    Raises:
        OSError: If it cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # Of a process that was killed.
    make_own_folder(partial)
    try:
        _write_samples(partial, chunks)
        late = _write_attributes(partial, attributes)
        sizes = {file.name: file.stat().st_size for file in partial.iterdir()}
        write_json(partial / _CONTENT, dict(sizes=sizes, late=late))
        _sync_folder(partial)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
        _sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_entry(folder: Path) -> None:
    """Require that an entry is there and whole.

    Args:
        folder: The entry.

    Raises:
        OSError: If a file is missing.
        ValueError: If one has another size than when it was written.
        PermissionError: If it belongs to another user.
    """
    check_own_folder(folder)
    content = json.loads((folder / _CONTENT).read_text())
    for name, size in content["sizes"].items():
        found = (folder / name).stat().st_size
        if found != size:
            raise ValueError(f"{name} has {found} bytes instead of {size}")


def attach_entry(folder: Path, dataset: BaseDataset) -> None:
    """Give a dataset the annotations of an entry.

    Args:
        folder: A whole entry; see `check_entry`.
        dataset: The dataset, built with ``lazy_init=True`` from the config that the
            entry was made of; changed in place.
    """
    content = json.loads((folder / _CONTENT).read_text())
    state = read_pickle(folder / _ATTRIBUTES)
    for name in state["removed"]:
        vars(dataset).pop(name, None)
    values = {name: pickle.loads(data) for name, data in state["values"].items()}  # noqa: S301
    vars(dataset).update(values)
    for name in content["late"]:
        vars(dataset).pop(name, None)
    add_late_attributes(
        dataset, {name: folder / file for name, file in content["late"].items()}
    )
    dataset.data_bytes = map_array(folder / _SAMPLES, "uint8")
    dataset.data_address = map_array(folder / _ENDS, "int64")
    dataset._fully_initialized = True


def _write_samples(
    folder: Path, chunks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> None:
    written = 0
    with open(folder / _SAMPLES, "wb") as samples, open(folder / _ENDS, "wb") as ends:
        for data_bytes, data_address in chunks:
            data_bytes.tofile(samples)
            (data_address.astype(np.int64) + written).tofile(ends)
            written += len(data_bytes)
        sync(samples)
        sync(ends)


def _write_attributes(folder: Path, attributes: Attributes) -> dict[str, str]:
    late = {
        name: f"late-{index}.pkl"
        for index, (name, data) in enumerate(attributes.values.items())
        if len(data) > _LATE_BYTES
    }
    for name, file in late.items():
        write_pickle(folder / file, attributes.values[name])
    small = {name: data for name, data in attributes.values.items() if name not in late}
    state = {"values": small, "removed": attributes.removed}
    write_pickle(folder / _ATTRIBUTES, pickle.dumps(state, PROTOCOL))
    return late


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
