"""The losses of a run, iteration by iteration, kept over interruptions."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

_FLUSH = 25
# As many as the multi-task model bears by default.
_MAX_NONFINITE = 10


class LossHistory(Hook):
    """Appends each iteration's losses and seconds to a file of JSON lines.

    Args:
        path: The file. Iterations that a resumed run repeats stand there twice; the
            last one counts.
        task: The task of a stock run, None for a run of several tasks.
    """

    def __init__(self, path: Path, task: str | None = None) -> None:
        self.path = path
        self.task = task
        self._rows: list[tuple[int, float, dict[str, Any]]] = []
        self._last = 0.0
        self._nonfinite = 0

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Note an iteration.

        Raises:
            FloatingPointError: If a stock run's loss was not finite too often in a row.
        """
        if self.task is None:
            losses = {
                name.removesuffix("/loss"): value
                for name, value in (outputs or {}).items()
                if name.endswith("/loss") and name.count("/") == 1
            }
        else:
            losses = {self.task: (outputs or {})["loss"]}
        now = time.monotonic()
        self._rows.append((runner.iter, now - self._last, losses))
        self._last = now
        if len(self._rows) >= _FLUSH:
            self._flush()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write what the checkpoint has learned: a run that goes on has no other."""
        self._flush()

    def after_train(self, runner: Runner) -> None:
        """Write what is left."""
        self._flush()

    def _flush(self) -> None:
        lines = []
        for iteration, seconds, losses in self._rows:
            values = {task: float(value) for task, value in losses.items()}
            lines.append(json.dumps([iteration, round(seconds, 4), values]) + "\n")
            finite = all(math.isfinite(value) for value in values.values())
            self._nonfinite = 0 if finite else self._nonfinite + 1
        self._rows.clear()
        with self.path.open("a") as file:
            file.writelines(lines)
        if self.task is not None and self._nonfinite > _MAX_NONFINITE:
            raise FloatingPointError(
                f"The loss of {self.task!r} was not finite {self._nonfinite} times in "
                "a row: lower the learning rate."
            )


def read_history(path: Path) -> tuple[dict[str, list[list[float]]], float, int]:
    """Read what `LossHistory` wrote.

    Args:
        path: The file.

    Returns:
        For each task pairs of an iteration and its loss; the seconds of all iterations;
        how many there are.
    """
    rows: dict[int, Sequence[Any]] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            # The end of a file that a kill cut off.
            continue
        rows[row[0]] = row
    losses: dict[str, list[list[float]]] = {}
    for iteration in sorted(rows):
        for task, value in rows[iteration][2].items():
            losses.setdefault(task, []).append([iteration, float(f"{value:.4g}")])
    return losses, sum(row[1] for row in rows.values()), len(rows)
