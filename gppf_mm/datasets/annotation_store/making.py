"""Parsing a dataset's annotations once, in a process that ends afterwards.

So the memory that parsing takes goes back, and what it reads can be watched (`Reads`)
at no cost to the training.
"""

import gc
import multiprocessing
import os
import pickle
import random
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from .entry import Attributes, write_entry
from .errors import NotStoredError, UnwritableStoreError
from .files import PROTOCOL
from .index import Record
from .reads import Reads
from .sources import Source, combined, digest

# What is in the entry otherwise, or is not changed by loading.
_NOT_ATTRIBUTES = (
    "data_bytes",
    "data_address",
    "data_list",
    "pipeline",
    "_fully_initialized",
)


def make_record(build: Callable[[], BaseDataset], entries: Path, key: str) -> Record:
    """Make the entry of a dataset in a process of its own.

    Args:
        build: Builds the dataset with ``lazy_init=True``.
        entries: The folder for the entry.
        key: The key of the dataset's config.

    Returns:
        The record of the entry, or one that says why there is none.

    Raises:
        UnwritableStoreError: If the entry cannot be written.
        RuntimeError: If the process died or the annotations cannot be parsed.
    """
    # A forked process knows the dataset's classes, wherever they were defined.
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(sender, build, entries, key))
    try:
        child.start()
    except OSError as error:
        raise RuntimeError(f"no process can be started: {error}") from error
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"exit code {child.exitcode}") from None
    except BaseException:
        child.kill()
        raise
    child.join()
    if isinstance(result, Exception):
        raise result
    return result


def _send(
    sender: Connection, build: Callable[[], BaseDataset], entries: Path, key: str
) -> None:
    # What is garbage here is the parent's, whose files its finalisers would close.
    gc.freeze()
    # Ctrl-C reaches the parent too, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    result: Record | Exception
    try:
        result = _make(build, entries, key)
    except NotStoredError as error:
        result = Record(reason=str(error))
    except UnwritableStoreError as error:
        result = error
    except Exception as error:
        result = RuntimeError(f"{type(error).__name__}: {error}")
    sender.send(result)


def _make(build: Callable[[], BaseDataset], entries: Path, key: str) -> Record:
    reads, dataset, attributes = _parse(build)
    sources = _sources(reads)
    samples, ends = dataset.data_bytes, dataset.data_address
    if samples.dtype != np.uint8 or ends[-1] != len(samples):
        raise NotStoredError("it serialises its annotations in a way of its own")
    name = f"{type(dataset).__name__}-{combined(key, sources)}"
    try:
        write_entry(entries / name, [(samples, ends)], attributes)
    except OSError as error:
        raise UnwritableStoreError.of(entries / name, error) from error
    return Record(name, None, sources)


def _parse(build: Callable[[], BaseDataset]) -> tuple[Reads, BaseDataset, Attributes]:
    reads = Reads()
    reads.start()
    dataset = build()
    for path in _named_files(dataset):
        reads.add(path)
    before = {name: _pickled(value) for name, value in _attributes(dataset)}
    draws = _random_states()
    dataset.full_init()
    reads.active = False
    if _random_states() != draws:
        raise NotStoredError("its annotations are drawn at random while it loads")
    return reads, dataset, _changes(before, dataset)


def _sources(reads: Reads) -> list[Source]:
    there = {path: seen for path, seen in reads.stamps.items() if os.path.exists(path)}
    if len(there) < len(reads.stamps) or not there:
        raise NotStoredError("its annotations do not come from files on a local disk")
    sources = [Source(path, seen, digest(path)) for path, seen in there.items()]
    for source in sources:
        if not source.is_untouched():
            raise RuntimeError(f"{source.path!r} changed while it was read")
    return sources


def _attributes(dataset: BaseDataset) -> Iterator[tuple[str, Any]]:
    """Yield what loading may change in a dataset, besides its samples."""
    return (item for item in vars(dataset).items() if item[0] not in _NOT_ATTRIBUTES)


def _changes(before: dict[str, bytes | None], dataset: BaseDataset) -> Attributes:
    after = {name: _pickled(value) for name, value in _attributes(dataset)}
    for name, data in after.items():
        if data is None and name not in before:
            raise NotStoredError(f"its attribute {name!r} cannot be pickled")
    values = {
        name: data
        for name, data in after.items()
        if data is not None and before.get(name) != data
    }
    return Attributes(values, tuple(name for name in before if name not in after))


def _pickled(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:  # Whatever an object's own code raises.
        return None


def _named_files(dataset: BaseDataset) -> Iterator[str]:
    """Yield the files that a dataset's attributes name; C code may read them."""
    for _, value in _attributes(dataset):
        for item in value.values() if isinstance(value, dict) else [value]:
            if isinstance(item, str) and os.path.isfile(item):
                yield item


def _random_states() -> bytes:
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state().numpy())
    return pickle.dumps(states)
