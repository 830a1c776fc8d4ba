"""A run of two ranks of which one is killed."""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .attempts import Attempt, Starter
from .subject import ITERATIONS
from .trace import TRACE_NAME, Event, TraceReader

RANKS = 2
# torchrun gives the others 30 seconds to end, then it kills them.
BOUND_SECONDS = 60.0
_START_SECONDS = 300.0


@dataclass(frozen=True)
class RankHit:
    """A rank that was killed.

    Attributes:
        rank: The rank.
        iteration: The step in which it was.
        seconds: From the kill to the end of the launcher and of all ranks; None if
            that took longer than `BOUND_SECONDS`.
        code: The launcher's exit code.
    """

    rank: int
    iteration: int
    seconds: float | None
    code: int | None


@dataclass(frozen=True)
class RanksResult:
    """What came of a run of two ranks.

    Attributes:
        hits: The ranks that were killed, one after the other.
        equal: Whether both ranks ended, resumed, as without a kill.
    """

    hits: list[RankHit]
    equal: bool

    @property
    def good(self) -> bool:
        """Whether all was as it has to be."""
        return self.equal and all(hit.seconds and hit.code for hit in self.hits)


def kill_ranks(starter: Starter, config: Path, folder: Path, seed: int) -> RanksResult:
    """Kill first one rank, then, in the resumed run, the other.

    Args:
        starter: Starts the runs, through torchrun.
        config: The run's config.
        folder: Where the work dirs come.
        seed: Decides in which steps the ranks are killed.

    Returns:
        What came of it.
    """
    chance = random.Random(seed)
    first = chance.randrange(3, ITERATIONS // 2)
    second = chance.randrange(ITERATIONS // 2 + 1, ITERATIONS)
    whole, killed = folder / "ranks_whole", folder / "ranks_killed"
    expected = _finish(starter, config, whole)
    hits = [
        kill_rank(starter, config, killed, rank, step)
        for rank, step in ((1, first), (0, second))
    ]
    found = _finish(starter, config, killed)
    return RanksResult(hits, bool(expected) and found == expected)


def kill_rank(
    starter: Starter, config: Path, work_dir: Path, rank: int, iteration: int
) -> RankHit:
    """Kill a rank in a step, and watch the launcher and the other rank end.

    Args:
        starter: Starts the run.
        config: The run's config.
        work_dir: The work dir, with or without checkpoints.
        rank: The rank to kill.
        iteration: The step.

    Returns:
        What came of it.

    Raises:
        RuntimeError: If the run never reached the step.
    """
    run, trace = _launch(starter, config, work_dir)
    deadline = time.monotonic() + _START_SECONDS
    victim: Event | None = None
    while victim is None:
        if run.code() is not None or time.monotonic() > deadline:
            run.signal_group(signal.SIGKILL)
            raise RuntimeError(f"Step {iteration} never came; see {run.log}.")
        victim = _find(trace.read(), rank, iteration)
        time.sleep(0.001)
    struck = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    run.wait(BOUND_SECONDS)
    pids = {event.pid for event in trace.read()}
    while any(map(_lives, pids)) and time.monotonic() - struck < BOUND_SECONDS:
        time.sleep(0.05)
    hangs = run.code() is None or any(map(_lives, pids))
    seconds = None if hangs else round(time.monotonic() - struck, 1)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.signal_group(signal.SIGKILL)
    return RankHit(rank, iteration, seconds, run.code())


def _launch(
    starter: Starter, config: Path, work_dir: Path
) -> tuple[Attempt, TraceReader]:
    resume = work_dir.is_dir()
    work_dir.mkdir(exist_ok=True)
    trace = TraceReader(work_dir / TRACE_NAME)
    launcher = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={RANKS}",
    ]
    args = [str(starter.script), str(config), "--work-dir", str(work_dir)]
    args += ["--launcher", "pytorch", *["--resume"] * resume]
    return starter.launch([*launcher, *args], work_dir / "launcher.log"), trace


def _finish(starter: Starter, config: Path, work_dir: Path) -> dict[int, dict]:
    """Run to the end; return the digests of each rank, nothing after a failure."""
    run, trace = _launch(starter, config, work_dir)
    code = run.wait(_START_SECONDS)
    run.is_left(10)
    ends = {event.rank: event.digests for event in trace.read() if event.name == "end"}
    for rank in range(1, RANKS):
        # Each rank logs its own losses, and a checkpoint has the history of rank 0.
        ends.get(rank, {}).pop("message_hub", None)
    return ends if code == 0 and len(ends) == RANKS else {}


def _find(events: list[Event], rank: int, iteration: int) -> Event | None:
    for event in events:
        if (event.name, event.rank, event.iteration) == ("step", rank, iteration):
            return event
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
