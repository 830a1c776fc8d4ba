"""What decides which annotations a config gives, apart from the files it reads."""

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from .errors import NotStoredError

# They change what is done with the annotations, or are in the key otherwise.
_IGNORED = ("_scope_", "type", "pipeline", "lazy_init", "max_refetch", "serialize_data")


def config_key(dataset: BaseDataset, cfg: Mapping[str, Any]) -> str:
    """Hash a dataset's config and the code that reads it.

    The code is that of the modules of the class and its bases, since many users work in
    a checkout, and the versions of their packages.

    Args:
        dataset: The dataset, built with ``lazy_init=True``: its paths and its
            ``metainfo`` may depend on files that are there.
        cfg: Its config.

    Returns:
        32 hexadecimal digits, the same in every process.

    Raises:
        NotStoredError: If the config holds an object that has no text of its own.
    """
    content = {name: value for name, value in cfg.items() if name not in _IGNORED}
    cls = type(dataset)
    found = (dataset.ann_file, dataset.data_root, dataset.data_prefix, dataset.metainfo)
    parts = [
        f"{cls.__module__}.{cls.__qualname__}",
        *(code for base in dataset_bases(cls) for code in _code(base)),
        _text(content),
        _text(found),
    ]
    if any(_is_relative_path(item) for item in _strings(content)):
        parts.append(os.getcwd())
    text = "\n".join(parts).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def dataset_bases(cls: type[BaseDataset]) -> Iterator[type]:
    """Yield the class and its bases, as far as they are datasets of MMEngine."""
    return (base for base in cls.__mro__ if issubclass(base, BaseDataset))


def _code(cls: type) -> Iterator[str]:
    module = sys.modules[cls.__module__]
    package = sys.modules[cls.__module__.partition(".")[0]]
    yield f"{package.__name__} {getattr(package, '__version__', '')}"
    try:
        yield inspect.getsource(module)
    except (OSError, TypeError):  # Typed into a console.
        yield repr(sorted(vars(cls)))


def _text(value: Any) -> str:
    """Write a config's value so that equal values have equal text."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, Mapping):
        items = (f"{_text(key)}: {_text(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(_text, value))})"
    if isinstance(value, Set):
        return f"set({', '.join(sorted(map(_text, value)))})"
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        return f"array({value.dtype}, {value.shape}, {value.tobytes()!r})"
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    name = getattr(value, "__qualname__", "<")
    if "<" not in name:  # A class or function that can be imported, no lambda.
        return f"{value.__module__}.{name}"
    kind = type(value).__name__
    raise NotStoredError(
        f"its config has a value of type {kind}, which is no plain data"
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, (str, os.PathLike)):
        yield os.fsdecode(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _is_relative_path(text: str) -> bool:
    try:
        return bool(text) and not os.path.isabs(text) and os.path.exists(text)
    except ValueError:  # A null character.
        return False
