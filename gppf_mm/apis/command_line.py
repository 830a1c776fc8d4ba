"""Errors of the tools: a paragraph for a mistake, a traceback for a bug."""

import errno
import linecache
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from gppf_mm.utils.class_name import class_name

_PACKAGE = Path(__file__).parents[1]
# Where MMEngine calls a class with the arguments that the config has for it.
_BUILDER = Path("mmengine", "registry", "build_functions.py")
_FULL = (errno.ENOSPC, errno.EDQUOT)
# A file where a folder is to be, or the reverse; a place that is not the user's.
_IN_THE_WAY = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
)

DICT_ACTION_HELP = (
    "override settings of the config: key=value pairs such as "
    "train_cfg.max_iters=100 or, for a list, key='[a,b]'; no white space"
)


@contextmanager
def kind_errors(interrupted: str = "Interrupted.") -> Iterator[None]:
    """End a tool with one paragraph where a mistake of its user stopped it.

    A mistake is an error that this package or the tool raised itself, whose messages
    name what was found and the remedy, or a type or an argument in the config that does
    not exist. A full disk or a path that is taken, whoever writes there, is none of
    ours either. Anything else is a bug and keeps its traceback.

    Args:
        interrupted: What to say after Ctrl-C. Defaults to ``'Interrupted.'``.

    Raises:
        SystemExit: With code 2 after a mistake; after a signal that ended the run, with
            128 and its number, 130 for Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        _say(f"\n{interrupted}")
        raise SystemExit(128 + getattr(error, "signum", signal.SIGINT)) from None
    except Exception as error:
        mistake = find_mistake(error)
        if mistake is None:
            raise
        _say(f"error: {mistake}")
        raise SystemExit(2) from None


def find_mistake(error: BaseException) -> str | None:
    """Return the message of the error in a chain that a user's mistake caused, if any.

    Args:
        error: An error with what caused it.

    Returns:
        The message, or None if none of the errors is a mistake as in `kind_errors`.
    """
    current: BaseException | None = error
    while current is not None:
        frames = list(walk_tb(current.__traceback__))
        if frames:
            frame, line = frames[-1]
            source = Path(frame.f_code.co_filename)
            message = str(current.args[0] if current.args else current)
            if source.parts[-3:] == _BUILDER.parts:
                return f"The config cannot be built: {message}"
            unknown = _unknown_argument(current, [item for item, _ in frames])
            if unknown:
                return unknown
            statement = linecache.getline(str(source), line).lstrip()
            ours = _PACKAGE in source.parents or _is_tool(frame)
            if ours and statement.startswith("raise "):
                return message
        if isinstance(current, OSError):
            of_disk = _disk_trouble(current)
            if of_disk:
                return of_disk
        current = current.__cause__ or current.__context__
    return None


def _is_tool(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") == "__main__"


def _unknown_argument(error: BaseException, frames: list[FrameType]) -> str | None:
    """Return the message of a config's argument that a base class does not take.

    A class that hands on ``**kwargs`` finds out in the ``__init__`` of its base.
    """
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    built = None
    for frame in frames:
        if Path(frame.f_code.co_filename).parts[-3:] == _BUILDER.parts:
            built = frame.f_locals
        elif frame.f_code.co_name != "__init__":
            built = None
    if not (isinstance(error, TypeError) and found and built):
        return None
    if found[1] not in built.get("args", {}):
        return None
    return (
        f"The config cannot be built: {error}, which it has for "
        f"{class_name(built.get('obj_cls'))}. Remove {found[1]!r}; a dict that shall "
        "take the place of another type's needs _delete_=True."
    )


def _disk_trouble(error: OSError) -> str | None:
    named = f" {str(error.filename)!r}" if error.filename else ""
    if error.errno in _FULL:
        return (
            f"A file{named} cannot be written: {error.strerror}. Make room and start "
            "again; a training run goes on from its last checkpoint with --resume."
        )
    if error.errno in _IN_THE_WAY and named:
        return (
            f"The path{named} cannot be used: {error.strerror}. Name another one, or "
            "move away what is there."
        )
    return None


def short_path(path: str | Path) -> str:
    """Write a path relative to the current folder, if it lies in there."""
    path, here = Path(path).absolute(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _say(message: str) -> None:
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    print(message if rank == "0" else f"[rank {rank}] {message}", file=sys.stderr)
