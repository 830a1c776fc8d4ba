"""Runs as processes, several at a time."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from .devices import Devices
from .run import BUSY, Run

_MODULE = "gppf_mm.testing.mini8_experiment"


@dataclass
class _Job:
    run: Run
    place: int
    process: subprocess.Popen
    bar: TaskID
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(cfg.train_cfg.max_iters for cfg in self.run.parts.values())

    def done(self) -> int:
        """Count the iterations that are noted."""
        return sum(_lines(path) for path in self.run.folder.glob("*/losses.jsonl"))


def do_runs(runs: Sequence[Run], devices: Devices) -> list[Run]:
    """Do the runs that are not done, as processes of their own.

    Args:
        runs: The runs.
        devices: Where, and how many at a time.

    Returns:
        Those that failed; ``log.txt`` in the folder of each says why.
    """
    waiting = [run for run in runs if run.result() is None]
    failed: list[Run] = []
    active: list[_Job] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, Elapsed()) as progress:
        overall = progress.add_task("runs", total=len(runs))
        progress.advance(overall, len(runs) - len(waiting))
        try:
            while waiting or active:
                free = set(range(devices.jobs)) - {job.place for job in active}
                for place in sorted(free)[: len(waiting)]:
                    active.append(_start(waiting.pop(0), place, devices, progress))
                for job in list(active):
                    progress.update(job.bar, completed=job.done(), total=job.total)
                    code = job.process.poll()
                    if code is None:
                        continue
                    active.remove(job)
                    progress.remove_task(job.bar)
                    progress.advance(overall)
                    name = job.run.folder.name
                    if code == BUSY:
                        progress.print(f"{name}: another process does it.")
                    elif code:
                        failed.append(job.run)
                        progress.print(f"[red]{name} failed with code {code}.")
                    else:
                        progress.print(_line(job.run), highlight=False)
                time.sleep(0.3)
        finally:
            for job in active:
                # The run saves a checkpoint and ends.
                job.process.terminate()
            for job in active:
                job.process.wait()
    return failed


def _start(run: Run, place: int, devices: Devices, progress: Progress) -> _Job:
    run.prepare()
    log = (run.folder / "log.txt").open("a")
    command = [sys.executable, "-m", _MODULE, str(run.folder), str(devices.num_workers)]
    process = subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=devices.environment(place),
        # Ctrl-C is this process's, which ends the others.
        start_new_session=True,
    )
    log.close()
    return _Job(run, place, process, progress.add_task(run.folder.name, total=None))


def _line(run: Run) -> str:
    result = run.result() or {}
    values = result.get("metrics", {})
    if result.get("diverged"):
        outcome = "diverged"
    else:
        mean = sum(values.values()) / max(1, len(values))
        outcome = f"mean {mean:.2f}"
    seconds = result.get("train_seconds", 0) + result.get("test_seconds", 0)
    return f"{run.folder.name}: {outcome}, {seconds / 60:.1f} minutes"


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
