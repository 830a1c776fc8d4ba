"""Which entry belongs to which config, and the lock under which it is made."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.logging import print_log

from .entry import check_entry
from .errors import UnwritableStoreError
from .files import check_own_folder, make_own_folder, write_json
from .sources import Source

# A later format of the files gets a folder of its own.
_FORMAT = "v1"


@dataclass(frozen=True)
class Record:
    """What is known of a config's annotations.

    Attributes:
        entry: The name of their entry, or None if they cannot be stored.
        reason: Why not.
        sources: What they were parsed from.
    """

    entry: str | None = None
    reason: str | None = None
    sources: list[Source] = field(default_factory=list)


class Index:
    """The store's folder: entries, and a record for each config that was seen.

    Args:
        folder: The store.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder.absolute() / _FORMAT
        self.entries = self.home / "entries"
        self.records = self.home / "index"

    def find(self, key: str, hashing: bool = False) -> Record | None:
        """Find what is known of a config and still holds.

        Args:
            key: The config's key.
            hashing: Whether sources that were touched are read again, under the lock.
                Defaults to False: they count as changed.

        Returns:
            The record, or None if the annotations have to be parsed.

        Raises:
            PermissionError: If others may write in the store.
        """
        if not self.home.is_dir():
            return None
        check_own_folder(self.home)
        record = self._read(key)
        if record is None:
            return None
        if not all(source.is_untouched() for source in record.sources):
            renewed = [source.renewed() for source in record.sources if hashing]
            sources = [source for source in renewed if source is not None]
            if len(sources) < len(record.sources):
                return None
            record = Record(record.entry, record.reason, sources)
            self.write(key, record)
        return record if self._is_whole(record) else None

    def write(self, key: str, record: Record) -> None:
        """Note what is known of a config, under its lock."""
        sources = [source.to_dict() for source in record.sources]
        content = dict(entry=record.entry, reason=record.reason, sources=sources)
        path = self.records / f"{key}.json"
        try:
            write_json(path, content)
        except OSError as error:
            raise UnwritableStoreError.of(path, error) from error

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Be the one process that works on a config; wait until no other does.

        The lock goes with the process, however it ends.

        Raises:
            UnwritableStoreError: If the store cannot be written.
            PermissionError: If others may write in it.
        """
        file = self._open_lock(key)
        try:
            self._lock(file)
            yield
        finally:
            os.close(file)

    def _lock(self, file: int) -> None:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print_log(
                    "Another process parses the same annotations; waiting for it.",
                    logger="current",
                )
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # Some network file systems have no locks.
            raise UnwritableStoreError.of(self.home, error) from error

    def _open_lock(self, key: str) -> int:
        try:
            make_own_folder(self.home)
            for folder in (self.entries, self.records):
                make_own_folder(folder)
            file = os.open(self.records / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UnwritableStoreError.of(self.home, error) from error
        check_own_folder(self.home)
        return file

    def _read(self, key: str) -> Record | None:
        path = self.records / f"{key}.json"
        try:
            content = json.loads(path.read_text())
            sources = [Source.of(item) for item in content["sources"]]
            return Record(content["entry"], content["reason"], sources)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _warn(path, error)
            return None

    def _is_whole(self, record: Record) -> bool:
        if record.entry is None:
            return True
        folder = self.entries / os.path.basename(record.entry)
        try:
            check_entry(folder)
        except PermissionError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            _warn(folder, error)
            return False
        return True


def _warn(path: Path, error: Exception) -> None:
    print_log(
        f"The annotation store's {str(path)!r} is damaged ({error}); the annotations "
        "are parsed again.",
        logger="current",
        level=logging.WARNING,
    )
