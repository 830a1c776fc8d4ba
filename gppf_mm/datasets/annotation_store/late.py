"""Attributes that are read from disk when they are asked for.

Loading leaves large attributes behind that nothing needs afterwards, such as the images
of each category in ``mmdet.CocoDataset``: gigabytes of Python integers for 15 million
images, in every process. They are still there for whoever asks.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

from mmengine.dataset import BaseDataset

from .files import read_pickle


def add_late_attributes(dataset: BaseDataset, files: Mapping[str, Path]) -> None:
    """Let a dataset find attributes in files.

    Its class becomes a subclass of the same name; nothing else changes.

    Args:
        dataset: The dataset, changed in place.
        files: The pickled value of each attribute.
    """
    if files:
        dataset._late_attributes = {name: str(path) for name, path in files.items()}
        stock = type(dataset)
        dataset.__class__ = _late_class(stock)  # type: ignore[arg-type]


@cache
def _late_class(stock: type[BaseDataset]) -> type:
    content = {
        "__module__": stock.__module__,
        "__qualname__": stock.__qualname__,
        "__doc__": stock.__doc__,
        "__getattr__": _read_attribute,
        "__reduce_ex__": _reduce,
        "_stock_class": stock,
    }
    return type(stock.__name__, (stock,), content)


def _read_attribute(dataset: Any, name: str) -> Any:
    # Past the attribute itself, which a dataset that is being unpickled lacks.
    files = vars(dataset).get("_late_attributes", {})
    if name in files:
        vars(dataset)[name] = read_pickle(Path(files[name]))
        return vars(dataset)[name]
    inherited = getattr(dataset._stock_class, "__getattr__", None)
    if inherited is not None:
        return inherited(dataset, name)
    raise AttributeError(f"{type(dataset).__name__!r} object has no attribute {name!r}")


def _reduce(dataset: Any, protocol: SupportsIndex) -> tuple[Any, ...]:
    return _blank, (dataset._stock_class,), vars(dataset)


def _blank(stock: type[BaseDataset]) -> BaseDataset:
    return object.__new__(_late_class(stock))  # type: ignore[arg-type]
