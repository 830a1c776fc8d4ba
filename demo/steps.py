"""Running a tool with its output in a log file and its progress on the console."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False)

_ITERATION = re.compile(r"Iter\((train|val|test)\) \[ *(\d+)/(\d+)\]")
_STAGES = dict(train="training", val="validating", test="evaluating")
# Without a terminal a line now and then replaces the bar.
_SECONDS_BETWEEN_LINES = 20


class StepFailed(Exception):  # noqa: N818
    """A tool ended with an error; the message is what to show."""


class Bar:
    """A progress bar, or lines now and then where the output is no terminal."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._progress = Progress(
            TextColumn("    {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(label, total=None)
        self._printed = time.monotonic()

    def __enter__(self) -> "Bar":
        if console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if console.is_terminal:
            self._progress.stop()

    def show(self, done: int, total: int, label: str | None = None) -> None:
        """Show how far it is."""
        label = label or self.label
        self._progress.update(
            self._task, completed=done, total=total, description=label
        )
        late = time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES
        if late and not console.is_terminal:
            self._printed = time.monotonic()
            console.print(f"    {label}: {done} of {total}")


def run_logged(command: Sequence[str | Path], log: Path) -> None:
    """Run a command to its end.

    Args:
        command: The command. Iterations in MMEngine's output are shown as progress.
        log: The file for its output.

    Raises:
        StepFailed: If it ends with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file, Bar("starting") as bar:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in process.stdout or ():
            file.write(line)
            file.flush()
            if match := _ITERATION.search(line):
                stage, done, total = match.groups()
                bar.show(int(done), int(total), _STAGES[stage])
        code = process.wait()
    if code:
        tail = "".join(log.open().readlines()[-12:])
        raise StepFailed(f"{command[0]} ended with code {code}; see {log}:\n{tail}")
