"""One task drawn at random."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np

from gppf_mm.registry import DATA_SAMPLERS
from gppf_mm.utils.messages import check_mapping, check_tasks
from gppf_mm.utils.seeding import derive_seed

from .base import TaskSchedule

# So many steps are counted at a time: 8 MB.
_CHUNK = 2**20


@DATA_SAMPLERS.register_module()
class RandomSchedule(TaskSchedule):
    """Each step trains one task, drawn independently of all other steps.

    The number that a step draws is read from its place in the output of a
    counter-based generator, so that any step can be asked first (our choice).

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches of a task in each step that trains it, by task. Defaults to
            None, 1 for each.
        probabilities: The probability of each task, by task; their sum is 1. Defaults
            to None, the same for each.

    Raises:
        TypeError: If ``probabilities`` are no dict.
        ValueError: If a probability is missing or not positive, or they sum to another
            number.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        batches: Mapping[str, int] | None = None,
        probabilities: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(sizes, batches)
        if probabilities is None:
            probabilities = dict.fromkeys(self.tasks, 1 / len(self.tasks))
        else:
            _check(probabilities, self.tasks)
        self._shares = {task: float(probabilities[task]) for task in self.tasks}
        # The last task has what rounding leaves of the numbers below 2**64: at least
        # one.
        upper = list(accumulate(self._shares.values()))[:-1]
        edges = [min(int(edge * 2**64), 2**64 - 1) for edge in upper]
        self._upper = np.array(edges, dtype=np.uint64)

    def trained(self, step: int, seed: int) -> tuple[str, ...]:
        """Return the task that the step has drawn."""
        drawn = np.searchsorted(self._upper, _numbers(seed, step, 1), side="right")
        return (self.tasks[int(drawn[0])],)

    def turns(self, step: int, seed: int) -> dict[str, int]:
        """Count what the steps before this one have drawn."""
        below = np.zeros(len(self._upper), dtype=np.int64)
        for start in range(0, step, _CHUNK):
            numbers = _numbers(seed, start, min(_CHUNK, step - start))
            below += [np.count_nonzero(numbers < edge) for edge in self._upper]
        counts = np.diff(below, prepend=0, append=step)
        return dict(zip(self.tasks, counts.tolist(), strict=True))

    def shares(self) -> dict[str, float]:
        """Return the probabilities."""
        return dict(self._shares)


def _numbers(seed: int, start: int, count: int) -> np.ndarray:
    """Return the numbers below 2**64 that so many steps from this one draw."""
    # Each state of Philox yields four numbers, and its states can be counted.
    state, skip = divmod(start, 4)
    source = np.random.Philox(key=derive_seed(seed, "schedule"), counter=state)
    return source.random_raw(skip + count)[skip:]


def _check(probabilities: Mapping[str, float], tasks: tuple[str, ...]) -> None:
    where = "train_cfg.schedule.probabilities"
    check_mapping(where, probabilities, f"dict({tasks[0]}=0.5, ...)")
    check_tasks(where, probabilities, tasks)
    for task, number in probabilities.items():
        if not isinstance(number, (int, float)) or not number > 0:
            raise ValueError(
                f"`{where}.{task}` is {number!r}; expected a positive number."
            )
    total = sum(probabilities.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(
            f"`{where}` is {dict(probabilities)}, with the sum {total:g}; expected the "
            "sum 1."
        )
