"""Starting ``tools/train.py``, with the imports behind it or from the beginning."""

import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

Start = Literal["fork", "command"]
# What a run imports before its first step.
_IMPORTS = (
    "gppf_mm.apis",
    "gppf_mm.testing.faults.trace",
    *(
        f"{library}.{part}"
        for library in ("mmdet", "mmseg", "mmpretrain")
        for part in ("models", "datasets", "evaluation", "engine", "visualization")
    ),
)


class Attempt:
    """A running ``tools/train.py``, leader of a process group of its own.

    Attributes:
        started: When it was started, in seconds of the monotonic clock.
        log: The file with what it prints.

    Raises:
        RuntimeError: If the process was not started.
    """

    def __init__(
        self,
        process: "multiprocessing.process.BaseProcess | subprocess.Popen[bytes]",
        log: Path,
    ) -> None:
        if process.pid is None:
            raise RuntimeError("The process has not been started.")
        self.process = process
        self.pid: int = process.pid
        self.started = time.monotonic()
        self.log = log

    def code(self) -> int | None:
        """Return the exit code, that of a signal negative; None while it runs."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def wait(self, seconds: float) -> int | None:
        """Wait for the end.

        Args:
            seconds: How long.

        Returns:
            The exit code, None if the time is over.
        """
        deadline = time.monotonic() + seconds
        while self.code() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.code()

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and its workers."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # It ended, or has no group of its own yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def is_left(self, seconds: float) -> bool:
        """Return whether a process of the group is there after so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        self.signal_group(signal.SIGKILL)
        return True

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""


class Starter:
    """Starts ``tools/train.py`` in a folder.

    ``fork`` forks a server that has imported the libraries, Python's own fork server,
    and runs the script in it as ``__main__``: the same code from its first line on, in
    a fresh process, without 8 seconds of imports. ``command`` is the command line.

    Args:
        script: ``tools/train.py``.
        folder: The current folder of the runs.
    """

    def __init__(self, script: Path, folder: Path) -> None:
        self.script = script
        self.folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_IMPORTS))

    def start(self, how: Start, args: Sequence[str | Path], log: Path) -> Attempt:
        """Start a run.

        Args:
            how: With the imports behind it, or as a command.
            args: The script's arguments.
            log: Where to write what it prints.

        Returns:
            The run.
        """
        words = [str(item) for item in args]
        if how == "fork":
            process = self._context.Process(
                target=_run_script, args=(self.script, words, self.folder, log)
            )
            process.start()
            return Attempt(process, log)
        return self.launch([str(self.script), *words], log)

    def launch(self, args: Sequence[str], log: Path) -> Attempt:
        """Start Python with arguments.

        Args:
            args: What follows ``python``.
            log: Where to write what it prints.

        Returns:
            The run.
        """
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *args],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return Attempt(process, log)


def _run_script(script: Path, args: list[str], folder: Path, log: Path) -> None:
    """Run a script in this process, as the command line would."""
    os.setsid()
    # What the server imported is no garbage; data sets ask for a collection each.
    gc.freeze()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    os.chdir(folder)
    sys.argv = [str(script), *args]
    runpy.run_path(str(script), run_name="__main__")
