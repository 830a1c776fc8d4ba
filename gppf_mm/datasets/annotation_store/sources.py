"""What annotations were parsed from, and whether it is still the same.

A file counts by its content and a folder by the names in it. Contents are hashed once:
while size, time of change and inode are the same, so is the content.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

# Size, time of last change in nanoseconds, inode.
Stamp = tuple[int, int, int]
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Source:
    """A file or folder that was read.

    Attributes:
        path: Its absolute path.
        stamp: Its size, time of last change and inode.
        digest: The hash of its content, a folder's being its list of names.
    """

    path: str
    stamp: Stamp
    digest: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Source":
        """Return a source from what `to_dict` gave and JSON stored."""
        return cls(content["path"], tuple(content["stamp"]), content["digest"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return dict(path=self.path, stamp=self.stamp, digest=self.digest)

    def is_untouched(self) -> bool:
        """Tell, without reading it, whether it is surely the same."""
        return stamp(self.path) == self.stamp

    def renewed(self) -> "Source | None":
        """Return the source with its present stamp, or None if its content changed."""
        now = stamp(self.path)
        if now is None:
            return None
        if now == self.stamp:
            return self
        same = digest(self.path) == self.digest and stamp(self.path) == now
        return replace(self, stamp=now) if same else None


def stamp(path: str) -> Stamp | None:
    """Return what changes when a file or folder does, or None if it is neither."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def digest(path: str) -> str:
    """Hash a file's content, or the names in a folder.

    Raises:
        OSError: If it cannot be read.
    """
    result = hashlib.blake2b(digest_size=16)
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            names = sorted((item.name, item.is_dir()) for item in entries)
        result.update(repr(names).encode(errors="surrogateescape"))
    else:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                result.update(chunk)
    return result.hexdigest()


def combined(key: str, sources: Iterable[Source]) -> str:
    """Hash a key with the contents of sources."""
    lines = [key, *sorted(f"{item.digest} {item.path}" for item in sources)]
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
