"""Annotations parsed once, and shared through the disk.

MMEngine parses a set's annotations in every process of every run: eight ranks read the
same file eight times and keep eight copies. An `AnnotationStore` keeps what was parsed
as files that all processes map into memory:

    >>> store = AnnotationStore("data/annotation_store")
    >>> dataset = store.build(cfg.train_dataloader.dataset)  # doctest: +SKIP

An entry is found by the dataset's config and code (`config_key`), and holds while the
files and folders that were read for it (`Reads`) are the same (`Source`).
"""

from .errors import NotStoredError, UnwritableStoreError
from .store import AnnotationStore

__all__ = ["AnnotationStore", "NotStoredError", "UnwritableStoreError"]
