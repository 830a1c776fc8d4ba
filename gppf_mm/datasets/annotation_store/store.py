"""Annotations that are parsed once and then shared through the disk."""

import re
from collections.abc import Callable, Mapping
from inspect import getsource
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import is_distributed
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from gppf_mm.utils.remote import is_remote

from .entry import attach_entry
from .errors import NotStoredError
from .index import Index, Record
from .key import config_key, dataset_bases
from .making import make_record

# Calls in which ranks wait for each other; mmpretrain's CIFAR and MNIST have one.
_COLLECTIVE = re.compile(r"\b(barrier|broadcast|all_gather|all_reduce|collect_\w+)\(")


class AnnotationStore:
    """Parsed annotations on disk, memory-mapped by all processes of a node.

    A dataset is built from its config as ever. The first process that builds it parses
    the annotations and writes them to the store; all others, and later runs, map the
    files. What a dataset gives is the same, sample by sample. Annotations are parsed
    again when the config, the dataset's code, or a file or folder that was read for
    them has changed.

    Args:
        folder: The store, on a disk with room for all annotations. It is made if there
            is none, for the user alone: others' annotations are refused, for they are
            pickles.

    Raises:
        TypeError: If `folder` is no path.
    """

    def __init__(self, folder: str | Path) -> None:
        if not isinstance(folder, (str, Path)) or not str(folder):
            raise TypeError(
                f"`annotation_store` is {folder!r}; expected the path of a folder, "
                "such as 'data/annotation_store'."
            )
        self.folder = Path(folder).expanduser()
        self.index = Index(self.folder)

    def build(self, cfg: Mapping[str, Any]) -> Any:
        """Build a dataset whose annotations are in the store.

        Datasets inside of wrappers are stored, the wrappers built around them. What is
        no MMEngine ``BaseDataset``, or cannot be stored, is built as ever.

        Args:
            cfg: The stock config of the dataset.

        Returns:
            The dataset, fully initialised.

        Raises:
            UnwritableStoreError: If the store cannot be written.
            PermissionError: If others may write in the store.
        """
        # Item by item: a lazy-import config resolves its objects when asked.
        cfg = {key: cfg[key] for key in cfg}
        with DATASETS.switch_scope_and_registry(cfg.get("_scope_")) as registry:
            cls = cfg.get("type")
            if isinstance(cls, str):
                cls = registry.get(cls)
            if isinstance(cls, type) and issubclass(cls, BaseDataset):
                return self._build_stored(cls, cfg)
            return DATASETS.build(self._with_stored_parts(cfg))

    def _with_stored_parts(self, cfg: dict[str, Any]) -> dict[str, Any]:
        """Let a wrapper build its parts here, when and where it would build them."""
        inner, several = cfg.get("dataset"), cfg.get("datasets")
        if isinstance(inner, Mapping):
            cfg["dataset"] = dict(type=self.build, cfg=inner)
        if isinstance(several, (list, tuple)):
            cfg["datasets"] = [
                dict(type=self.build, cfg=item) if isinstance(item, Mapping) else item
                for item in several
            ]
        return cfg

    def _build_stored(self, cls: type[BaseDataset], cfg: dict[str, Any]) -> BaseDataset:
        def build() -> BaseDataset:
            return DATASETS.build({**cfg, "lazy_init": True})

        dataset = build()
        try:
            _check_storable(dataset)
            entry = self._find_entry(config_key(dataset, cfg), build)
        except NotStoredError as error:
            print_log(
                f"{cls.__name__} is used without the annotation store: {error}.",
                logger="current",
            )
            dataset.full_init()
        else:
            attach_entry(entry, dataset)
        return dataset

    def _find_entry(self, key: str, build: Callable[[], BaseDataset]) -> Path:
        record = self.index.find(key)
        if record is None:
            with self.index.locked(key):
                record = self.index.find(key, hashing=True)
                if record is None:
                    record = self._make(key, build)
        if record.entry is None:
            raise NotStoredError(record.reason)
        return self.index.entries / record.entry

    def _make(self, key: str, build: Callable[[], BaseDataset]) -> Record:
        print_log(f"Parsing annotations for {str(self.folder)!r}.", logger="current")
        try:
            record = make_record(build, self.index.entries, key)
        except RuntimeError as error:
            raise NotStoredError(f"parsing failed ({error})") from error
        self.index.write(key, record)
        return record


def _check_storable(dataset: BaseDataset) -> None:
    """Refuse what can be told from a dataset that is not loaded yet.

    Raises:
        NotStoredError: If it cannot be stored.
    """
    if dataset._fully_initialized:
        raise NotStoredError("it loads annotations while it is built")
    if not dataset.serialize_data:
        raise NotStoredError("it has serialize_data=False")
    backend = getattr(dataset, "backend_args", None) or {"backend": "local"}
    paths = [dataset.ann_file, dataset.data_root, *dataset.data_prefix.values()]
    if backend.get("backend") != "local" or any(map(is_remote, paths)):
        raise NotStoredError("it reads from a storage backend, not from a local disk")
    if is_distributed():
        code = "".join(_code(base) for base in dataset_bases(type(dataset)))
        if _COLLECTIVE.search(code):
            raise NotStoredError("its ranks wait for each other while it loads")


def _code(cls: type) -> str:
    try:
        return getsource(cls)
    except (OSError, TypeError):  # Typed into a console.
        return ""
