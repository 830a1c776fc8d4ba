"""Paths that are not on a local disk."""

from pathlib import Path


def is_remote(path: str | Path) -> bool:
    """Return whether a path is that of a storage backend, not of a local disk.

    Args:
        path: A path as a config names it.

    Examples:
        >>> is_remote("s3://bucket/iter_4.pth"), is_remote("work_dirs/iter_4.pth")
        (True, False)
    """
    return "://" in str(path)
