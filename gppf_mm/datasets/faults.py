"""Samples that cannot be loaded."""

import logging
from collections import Counter
from collections.abc import Sequence

from mmengine.logging import print_log

# A task, the index of one of its samples, and why it cannot be loaded.
Fault = tuple[str, int, str]
# So many are borne whatever the rate: one broken file early in a run is 100 % (our
# choice).
_GRACE = 3


class FaultCounter:
    """Logs and counts samples that were replaced, and ends a run of too many.

    Args:
        rate: The share of a task's samples that may be broken, from 0 to 1.

    Raises:
        ValueError: If the rate is none.

    Attributes:
        faults: Broken samples of each task so far.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(
                f"`train_cfg.max_bad_samples` is {rate!r}; expected the share of a "
                "task's samples that may be unreadable, from 0 to 1."
            )
        self.rate = rate
        self.faults: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    def add(self, seen: dict[str, int], faults: Sequence[Fault]) -> None:
        """Count one step.

        Args:
            seen: Samples of each task in it.
            faults: Those that could not be loaded and were replaced.

        Raises:
            RuntimeError: If a task's broken samples are too many.
        """
        self._seen.update(seen)
        for task, index, reason in faults:
            self.faults[task] += 1
            print_log(
                f"Sample {index} of task {task!r} cannot be loaded and is replaced by "
                f"the one after it ({reason}); {self.faults[task]} so far.",
                logger="current",
                level=logging.WARNING,
            )
            if self.faults[task] > _GRACE + self.rate * self._seen[task]:
                raise RuntimeError(
                    f"Task {task!r} cannot load {self.faults[task]} of "
                    f"{self._seen[task]} samples of its training set, the last sample "
                    f"{index} ({reason}). Check the files and the transforms in "
                    f"`train_dataloader.{task}.dataset.pipeline`, or bear more by "
                    "`train_cfg.max_bad_samples`."
                )
