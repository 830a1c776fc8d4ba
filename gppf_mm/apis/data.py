"""Telling which data of a config are missing, and what makes them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.evaluators import metric_list
from gppf_mm.utils.remote import is_remote

from .command_line import short_path

_PACKAGE = Path(__file__).parents[1]
# In a checkout, and in an installed package.
_TOOLS = (_PACKAGE.parent / "tools", _PACKAGE / ".mim" / "tools")


@contextmanager
def name_missing_data(cfg: Config, stages: Sequence[str]) -> Iterator[None]:
    """Name the config key when a data set's folder or file turns out to be missing.

    Nothing is checked beforehand: some stock data sets download what is not there.

    Args:
        cfg: The config.
        stages: Of ``'train'``, ``'val'`` and ``'test'``, those that run.

    Raises:
        FileNotFoundError: Instead of the stock data set's error.
    """
    with _name_missing(_paths(cfg, stages)):
        yield


@contextmanager
def name_missing_set(where: str, dataset: Mapping[str, Any]) -> Iterator[None]:
    """Do the same as `name_missing_data` for a single data set.

    Args:
        where: The config key of the data set.
        dataset: What stands there.

    Raises:
        FileNotFoundError: Instead of the stock data set's error.
    """
    with _name_missing(_dataset_paths(where, dataset)):
        yield


@contextmanager
def _name_missing(paths: Iterator[tuple[str, str]]) -> Iterator[None]:
    try:
        yield
    except (OSError, AssertionError) as error:
        for key, path in paths:
            if not os.path.exists(path):
                raise FileNotFoundError(
                    f"`{key}` is {path!r}, and there is no such file or folder (seen "
                    f"from {Path.cwd()}). {_remedy(path)}"
                ) from error
        raise


def _paths(cfg: Config, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the local paths that data sets and metrics read, with their keys."""
    for stage in stages:
        for task, loader in (cfg.get(f"{stage}_dataloader") or {}).items():
            key = f"{stage}_dataloader.{task}.dataset"
            yield from _dataset_paths(key, loader.get("dataset") or {})
        for task, evaluator in (cfg.get(f"{stage}_evaluator") or {}).items():
            for metric in metric_list(evaluator):
                if _is_local(metric.get("ann_file")):
                    yield f"{stage}_evaluator.{task}.ann_file", metric["ann_file"]


def _dataset_paths(key: str, dataset: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    root = dataset.get("data_root") or ""
    if _is_local(root):
        yield f"{key}.data_root", root
    prefix = dataset.get("data_prefix") or {}
    values = {f"{key}.ann_file": dataset.get("ann_file")}
    if isinstance(prefix, str):
        values[f"{key}.data_prefix"] = prefix
    else:
        values |= {f"{key}.data_prefix.{name}": prefix[name] for name in prefix}
    for name, value in values.items():
        if isinstance(value, str) and _is_local(value) and not is_remote(root):
            yield name, os.path.join(root, value)
    # Wrappers such as RepeatDataset and ConcatDataset.
    if isinstance(dataset.get("dataset"), Mapping):
        yield from _dataset_paths(f"{key}.dataset", dataset["dataset"])
    for index, inner in enumerate(dataset.get("datasets") or ()):
        yield from _dataset_paths(f"{key}.datasets.{index}", inner)


def _is_local(path: Any) -> bool:
    return isinstance(path, str) and path != "" and not is_remote(path)


def _remedy(path: str) -> str:
    """Name the converter that makes a set, which has the name of the set's folder."""
    parts = Path(path).parts
    for depth, part in enumerate(parts):
        for tools in _TOOLS:
            script = tools / "dataset_converters" / f"{part}.py"
            if script.is_file():
                folder = Path(*parts[: depth + 1])
                if folder.is_dir():
                    return f"Look into {folder}, or change the key."
                return (
                    f"Make the set: python {short_path(script)} --out {folder} "
                    "(--help says what else it may need)."
                )
    return "Put the data there, or change the key."
