"""One trial: a run is struck, resumed until it ends, and compared."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from gppf_mm.engine.runner.checkpoints import find_latest_checkpoint

from .attempts import Attempt, Starter
from .moments import moment_at, wait_for
from .plan import Injection, Trial
from .result import Hit, Reference, TrialResult
from .rules import came_too_late, complaints, eligible
from .trace import TRACE_NAME, Event, TraceReader

# Nothing here takes ten seconds on an idle machine (our choice).
HANG_SECONDS = 90.0


class TrialRunner:
    """Runs one trial.

    Args:
        starter: Starts the runs.
        config: The run's config.
        trial: The trial.
        reference: The uninterrupted run, started in the same way.
        work_dir: The work dir of the trial, which must not exist.
    """

    def __init__(
        self,
        starter: Starter,
        config: Path,
        trial: Trial,
        reference: Reference,
        work_dir: Path,
    ) -> None:
        self.starter = starter
        self.config = config
        self.trial = trial
        self.reference = reference
        self.work_dir = work_dir
        self.hits: list[Hit] = []
        self._attempts = 0
        work_dir.mkdir(parents=True)

    def run(self) -> TrialResult:
        """Strike, resume and compare.

        Returns:
            What came of it.
        """
        for injection in self.trial.injections:
            attempt, trace = self._start()
            if not self._strike(injection, attempt, trace):
                break
        else:
            attempt, trace = self._start()
        wrong = []
        if attempt.wait(HANG_SECONDS) is None:
            wrong.append("hangs")
        if attempt.is_left(10):
            wrong.append("leaves processes behind")
        if attempt.code():
            wrong.append(f"ends with code {attempt.code()}")
        if list(self.work_dir.glob("*.partial")):
            wrong.append("leaves half a file")
        self._note_resumed(trace)
        found = next((e.digests for e in trace.read() if e.name == "end"), {})
        differing = [
            name
            for name, value in self.reference.digests.items()
            if found.get(name) != value
        ]
        numbers = self.trial.number, self.trial.start
        return TrialResult(*numbers, self.hits, differing, wrong)

    def _start(self) -> tuple[Attempt, TraceReader]:
        self._attempts += 1
        trace = TraceReader(self.work_dir / TRACE_NAME)
        args: list[str | Path] = [self.config, "--work-dir", self.work_dir]
        if self._attempts > 1:
            args.append("--resume")
        log = self.work_dir / f"attempt_{self._attempts}.log"
        return self.starter.start(self.trial.start, args, log), trace

    def _strike(
        self, injection: Injection, attempt: Attempt, trace: TraceReader
    ) -> bool:
        """Strike a run and watch it end; return False if the fault came too late."""
        kind = injection.kind
        parts = eligible(injection, self.reference.parts, self._saved())
        if not wait_for(moment_at(parts, injection.position), attempt, trace):
            return False
        struck = time.monotonic()
        kind.strike(attempt, self.work_dir, injection.share)
        code = attempt.wait(HANG_SECONDS)
        events = trace.read()
        if came_too_late(kind, code, events, struck):
            return False
        left = attempt.is_left(HANG_SECONDS)
        seconds = time.monotonic() - struck
        self._note_resumed(trace)
        last = _last_before(events, struck)
        hit = Hit(
            kind=kind.name,
            event=last.name if last else "start",
            iteration=last.iteration if last else 0,
            code=code,
            seconds=round(seconds, 2),
            partial=any(self.work_dir.glob("*.partial")),
        )
        hit.wrong = complaints(kind, code, left, events, attempt.output())
        self.hits.append(hit)
        if kind.saves and code in kind.codes and self._saved() < hit.iteration:
            hit.wrong.append("loses a step")
        if kind.refused:
            hit.wrong += self._refused()
        return True

    def _refused(self) -> list[str]:
        """Resume from a broken checkpoint, and remove what the error names."""
        newest = find_latest_checkpoint(self.work_dir)
        if newest is None:
            return []
        attempt, _ = self._start()
        code = attempt.wait(HANG_SECONDS)
        attempt.is_left(10)
        wrong = []
        if code != 2:
            wrong.append(f"a broken checkpoint ends with code {code}")
        if newest not in attempt.output() or "Traceback" in attempt.output():
            wrong.append("a broken checkpoint is not named")
        Path(newest).unlink()
        return wrong

    def _saved(self) -> int:
        newest = find_latest_checkpoint(self.work_dir)
        found = re.search(r"iter_(\d+)\.pth$", newest or "")
        return int(found[1]) if found else 0

    def _note_resumed(self, trace: TraceReader) -> None:
        begun = next((e.iteration for e in trace.read() if e.name == "begin"), None)
        for hit in self.hits:
            if hit.resumed_from is None:
                hit.resumed_from = begun


def _last_before(events: Sequence[Event], moment: float) -> Event | None:
    before = [event for event in events if event.time <= moment]
    return before[-1] if before else None
