"""Checkpoints that are whole or absent."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from gppf_mm.utils.remote import is_remote


def replace_file(source: str, target: str) -> None:
    """Move a written file to its name, so that the name never shows half a file.

    Args:
        source: The written file.
        target: Its name, on the same file system.
    """
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    os.replace(source, target)


def replace_folder(source: Path, target: Path) -> None:
    """Move a written folder to its name, so that the name never shows half of it."""
    outdated = target.with_name(f"{target.name}.outdated")
    if target.exists():
        remove(outdated)  # What a kill has left of another.
        target.rename(outdated)
    source.rename(target)
    remove(outdated)


def bring_back(folder: Path) -> None:
    """Undo the half of `replace_folder` that a kill has left, on any number of ranks.

    Args:
        folder: The run's folder.
    """
    for outdated in folder.glob("*.pth.outdated"):
        target = outdated.with_suffix("")
        if not target.exists():
            # Another rank may be faster.
            with suppress(FileNotFoundError):
                outdated.rename(target)


def remove(path: str | Path) -> None:
    """Remove a checkpoint, be it a file, a folder or absent."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def find_latest_checkpoint(work_dir: Path) -> str | None:
    """Find the checkpoint to resume from.

    MMEngine notes it in the file ``last_checkpoint``. If a kill left that file empty or
    the checkpoint elsewhere, the highest iteration in the folder counts. One that is
    noted on a storage backend is taken to be there.

    Args:
        work_dir: The run's folder.

    Returns:
        The checkpoint's path, or None if there is none.
    """
    note = work_dir / "last_checkpoint"
    if note.is_file():
        noted = note.read_text().strip()
        if noted and (is_remote(noted) or Path(noted).exists()):
            return noted
    found = {
        int(match[1]): path
        for path in work_dir.glob("iter_*.pth")
        if (match := re.fullmatch(r"iter_(\d+)\.pth", path.name))
    }
    return str(found[max(found)]) if found else None
