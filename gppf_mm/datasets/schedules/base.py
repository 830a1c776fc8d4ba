"""What every task schedule has to answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from gppf_mm.utils.messages import check_mapping, check_names

_BATCHES = "train_cfg.schedule.batches"


class TaskSchedule(ABC):
    """Says which tasks a step trains, and how many batches of each it takes.

    Its answers are functions of the run's seed and the step alone: equal on all ranks,
    and the same in a resumed run.

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches in each step that trains the task, by task; the task's loss is
            their mean. Defaults to None, 1 for each task.

    Raises:
        TypeError: If ``batches`` are no dict.
        ValueError: If a number of batches is none, or its task unknown.

    Attributes:
        tasks: The tasks, in the order of `model.tasks`.
    """

    def __init__(
        self, sizes: Mapping[str, int], batches: Mapping[str, int] | None = None
    ) -> None:
        self.tasks = tuple(sizes)
        batches = {} if batches is None else batches
        check_mapping(_BATCHES, batches, f"dict({self.tasks[0]}=2)")
        check_names(_BATCHES, batches, self.tasks)
        for task, number in batches.items():
            if not isinstance(number, int) or number < 1:
                raise ValueError(
                    f"`{_BATCHES}.{task}` is {number!r}; expected how many batches of "
                    "the task a step takes, a whole number of at least 1."
                )
        self._batches = {**dict.fromkeys(self.tasks, 1), **batches}

    @abstractmethod
    def trained(self, step: int, seed: int) -> Sequence[str]:
        """Return the tasks that a step trains, in the order of `model.tasks`."""

    @abstractmethod
    def turns(self, step: int, seed: int) -> Mapping[str, int]:
        """Return in how many of the steps before this one each task was trained.

        A run is resumed with it: it takes milliseconds for a million steps.
        """

    @abstractmethod
    def shares(self) -> Mapping[str, float]:
        """Return the expected share of the steps that train each task."""

    def counts(self, step: int, seed: int) -> dict[str, int]:
        """Return how many batches a step takes of each task that it trains.

        Args:
            step: The step, from 0.
            seed: The run's seed.
        """
        return {task: self._batches[task] for task in self.trained(step, seed)}

    def before(self, step: int, seed: int) -> dict[str, int]:
        """Return how many batches of each task all steps before this one took.

        Args:
            step: The step, from 0.
            seed: The run's seed.
        """
        turns = self.turns(step, seed)
        return {task: turns[task] * self._batches[task] for task in self.tasks}

    def rates(self) -> dict[str, float]:
        """Return the expected number of batches of each task in a step."""
        shares = self.shares()
        return {task: shares[task] * self._batches[task] for task in self.tasks}
