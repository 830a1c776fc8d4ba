"""Seeing which files a dataset reads, whatever its class."""

import os
import sys
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

from .sources import Stamp, stamp

_LISTING = ("os.listdir", "os.scandir")
_NO_DATA = ("/dev/", "/proc/", "/sys/")


@dataclass
class Reads:
    """The files and folders that this thread has read.

    Python reports them by its audit events; what a library opens in C, which no stock
    dataset needs, is not among them. An audit hook stays until the process ends and
    costs a call for each event: start it in a process that ends soon.

    Attributes:
        stamps: The state in which each file or folder was when it was first read, by
            its absolute path.
        active: Whether reads are noted.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)
    active: bool = True

    def start(self) -> None:
        """Note what this thread reads from now on."""
        thread = get_ident()

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event != "open" and event not in _LISTING:
                return
            if self.active and get_ident() == thread and not _imports():
                self.note(event, args)

        sys.addaudithook(hook)

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        """Note an audit event.

        Args:
            event: The event, ``'open'`` or that of a listing.
            args: Its arguments, of which the first is the path.
        """
        path = "." if args[0] is None else args[0]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # An open file's number.
        if event == "open" and args[2] & os.O_ACCMODE != os.O_RDONLY:
            return
        self.add(os.fsdecode(path))

    def add(self, path: str) -> None:
        """Note a file or folder, if it is there."""
        path = os.path.abspath(path)
        if path in self.stamps or path.startswith(_NO_DATA) or path.endswith(".py"):
            return
        found = stamp(path)
        if found is not None:
            self.stamps[path] = found


def _imports() -> bool:
    """Tell whether an import reads: its frame is the one that called the hook."""
    caller = sys._getframe(2).f_code.co_filename
    return caller.startswith(("<frozen importlib", "<frozen zipimport"))
