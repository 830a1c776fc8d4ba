"""Files of the store: written whole, read from folders of one's own only.

MMEngine's data lists are pickles, and unpickling can run any code. The store therefore
trusts what the user's own processes wrote and nothing else: its folder has to belong to
the user, or to root, and nobody else may write in it.
"""

import json
import os
import pickle
import stat
from pathlib import Path
from typing import Any

# The protocol of MMEngine's `BaseDataset`.
PROTOCOL = 4


def make_own_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter.

    Args:
        folder: The folder; it may exist.

    Raises:
        OSError: If it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def check_own_folder(folder: Path) -> None:
    """Refuse a folder in which others could put pickles.

    Args:
        folder: An existing folder.

    Raises:
        PermissionError: If it belongs to another user, who is not root, or others may
            write in it.
    """
    found = os.lstat(folder)
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if (
        found.st_uid not in (os.geteuid(), 0)
        or others
        or not stat.S_ISDIR(found.st_mode)
    ):
        raise PermissionError(
            f"The annotation store {str(folder)!r} belongs to user {found.st_uid} with "
            f"mode {stat.S_IMODE(found.st_mode):o}, and this process runs as user "
            f"{os.geteuid()}. Annotations are pickles, which could run code of others: "
            "expected a folder of your own in which nobody else can write. Let "
            "`annotation_store` name another folder, or remove this one."
        )


def write_json(path: Path, content: Any) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content))
    os.replace(partial, path)


def write_pickle(path: Path, data: bytes) -> None:
    """Write pickled data and wait until they are on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        sync(file)


def read_pickle(path: Path) -> Any:
    """Read a pickle of the store; see `check_own_folder`."""
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301


def sync(file: Any) -> None:
    """Wait until a file that was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())
