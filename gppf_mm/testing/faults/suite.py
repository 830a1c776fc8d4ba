"""The whole suite: the uninterrupted run, then trial after trial."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from .attempts import Start, Starter
from .moments import segments
from .plan import Trial, draw_trials
from .result import Reference, TrialResult
from .subject import write_subject
from .trace import TRACE_NAME, TraceReader
from .trial import HANG_SECONDS, TrialRunner


class FaultSuite:
    """Kills a training run at random moments and compares how it ends.

    Args:
        folder: Where everything is written; it must not exist or be empty.
        config: The toy recipe, ``configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py``.
        script: ``tools/train.py``.

    Raises:
        FileExistsError: If the folder holds something.
    """

    def __init__(self, folder: Path, config: Path, script: Path) -> None:
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(
                f"The folder {str(folder)!r} is not empty; the runs of the fault "
                "suite need a folder of their own. Remove it, or name another."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()
        self.config = write_subject(self.folder, config)
        self.starter = Starter(script.absolute(), self.folder)
        self._references: dict[Start, Reference] = {}

    def work_dir(self, start: Start) -> Path:
        """Return the work dir of the uninterrupted run."""
        return self.folder / f"whole_{start}"

    def reference(self, start: Start) -> Reference:
        """Run uninterrupted, once.

        Args:
            start: How to start the run.

        Returns:
            What it ended with, and when it did what.

        Raises:
            RuntimeError: If it does not end as it should.
        """
        if start not in self._references:
            work_dir = self.work_dir(start)
            work_dir.mkdir()
            trace = TraceReader(work_dir / TRACE_NAME)
            args: list[str | Path] = [self.config, "--work-dir", work_dir]
            run = self.starter.start(start, args, work_dir / "attempt_1.log")
            code, ended = run.wait(4 * HANG_SECONDS), time.monotonic()
            events = trace.read()
            if code != 0 or not events or events[-1].name != "end":
                raise RuntimeError(
                    f"The uninterrupted run ended with code {code}; see {run.log}."
                )
            parts = segments(events, run.started, ended)
            self._references[start] = Reference(events[-1].digests, parts)
        return self._references[start]

    def trials(self, kills: int, seed: int) -> Iterator[TrialResult]:
        """Run trials until so many faults have struck.

        Args:
            kills: How many.
            seed: Decides which faults strike where.

        Yields:
            The trials' results, as they come.
        """
        hits = 0
        for trial in draw_trials(seed):
            if hits >= kills:
                return
            reference = self.reference(trial.start)
            result = self.trial(cut(trial, kills - hits), reference)
            hits += len(result.hits)
            yield result

    def trial(self, trial: Trial, reference: Reference) -> TrialResult:
        """Run one trial.

        Args:
            trial: The trial.
            reference: The uninterrupted run, which says when to strike and what has to
                come out.

        Returns:
            What came of it.
        """
        folder = self.folder / f"trial_{trial.number:03d}"
        return TrialRunner(self.starter, self.config, trial, reference, folder).run()


def cut(trial: Trial, hits: int) -> Trial:
    """Leave out the faults of a trial that are more than are wanted."""
    return replace(trial, injections=tuple(islice(trial.injections, hits)))
