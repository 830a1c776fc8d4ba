"""The faults: what each does to a run, and how the run has to end."""

import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint

from .attempts import Attempt

# Enough for everything that a run writes besides checkpoints.
_SMALL_FILES = 2**20
Strike = Callable[[Attempt, Path, float], None]


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: Its name in tables.
        strike: Does it to a run; gets the run, its work dir, and a share in ``[0, 1)``
            of a file that is written or left.
        codes: The exit codes that the run may have if it was training.
        weight: How often it comes, among the others.
        message: What the run has to print then. Defaults to ``''``.
        in_training: Whether it only makes sense in training. Defaults to False.
        saves: Whether the run has to save the step in which it was struck. Defaults to
            False.
        refused: Whether the checkpoint is broken, so that resuming has to be refused
            with a message that names it. Defaults to False.
    """

    name: str
    strike: Strike
    codes: tuple[int, ...]
    weight: int
    message: str = ""
    in_training: bool = False
    saves: bool = False
    refused: bool = False


def workers(pid: int) -> list[int]:
    """Return the child processes of a process (Linux)."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _signal_all(number: int) -> Strike:
    def strike(attempt: Attempt, work_dir: Path, share: float) -> None:
        attempt.signal_group(number)

    return strike


def _kill_main(attempt: Attempt, work_dir: Path, share: float) -> None:
    with suppress(ProcessLookupError):
        os.kill(attempt.pid, signal.SIGKILL)


def _kill_worker(attempt: Attempt, work_dir: Path, share: float) -> None:
    """Kill one worker, and wait for workers if there are none."""
    while attempt.code() is None:
        if found := workers(attempt.pid):
            with suppress(ProcessLookupError):
                os.kill(found[int(share * len(found))], signal.SIGKILL)
                return
        time.sleep(0.001)


def _fill_disk(attempt: Attempt, work_dir: Path, share: float) -> None:
    """Limit what the run can write into a file: the next checkpoint ends half-way.

    The limit of file sizes is the full disk that needs no privilege. A write beyond it
    fails after what fits has been written, as on a full disk, with another number.
    """
    sizes = [path.stat().st_size for path in work_dir.glob("iter_*.pth")]
    limit = _SMALL_FILES + int(share * (max(sizes, default=0) or 8 * _SMALL_FILES) / 2)
    with suppress(ProcessLookupError):
        resource.prlimit(attempt.pid, resource.RLIMIT_FSIZE, (limit, limit))


def _truncate(attempt: Attempt, work_dir: Path, share: float) -> None:
    """Kill the run and cut its newest checkpoint off."""
    attempt.signal_group(signal.SIGKILL)
    attempt.wait(30)
    newest = find_latest_checkpoint(work_dir)
    if newest is not None:
        os.truncate(newest, int(share * Path(newest).stat().st_size))


KINDS = {
    kind.name: kind
    for kind in (
        FaultKind("SIGKILL, all processes", _signal_all(signal.SIGKILL), (-9,), 4),
        FaultKind("SIGKILL, main process", _kill_main, (-9,), 2),
        FaultKind("SIGKILL, one worker", _kill_worker, (1, 2), 2, in_training=True),
        FaultKind("SIGTERM", _signal_all(signal.SIGTERM), (143,), 2, saves=True),
        FaultKind("SIGINT", _signal_all(signal.SIGINT), (130,), 2, saves=True),
        FaultKind(
            "disk full",
            _fill_disk,
            (2,),
            2,
            message="cannot be written",
            in_training=True,
        ),
        FaultKind(
            "SIGKILL, then the newest checkpoint cut off",
            _truncate,
            (-9,),
            2,
            in_training=True,
            refused=True,
        ),
    )
}
