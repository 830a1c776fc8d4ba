"""What one step needs, and the batches made of it in a worker."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmengine.dist import get_rank
from torch.utils.data import Dataset, Sampler

from gppf_mm.utils.batches import Batches
from gppf_mm.utils.plain import to_plain
from gppf_mm.utils.seeding import derive_seed, seed_data

from .faults import Fault
from .schedules import TaskSchedule
from .stream import TaskStream

# So many samples in a row are tried before the set counts as unreadable.
_TRIES = 10


@dataclass(frozen=True)
class Step:
    """Which samples one iteration needs.

    Attributes:
        iteration: The iteration.
        batches: For each task that it trains, one or several batches: the batch's
            position in the task's stream, and sample indices.
    """

    iteration: int
    batches: Mapping[str, list[tuple[int, list[int]]]]


class StepData(NamedTuple):
    """What a worker makes of a step.

    Attributes:
        batches: The collated batch of each task, or several as `Batches`.
        seen: Samples of each task.
        faults: Samples that could not be loaded and were replaced.
        seconds: The time that each task's batches took to make.
    """

    batches: dict[str, Any]
    seen: dict[str, int]
    faults: list[Fault]
    seconds: dict[str, float]


class StepSampler(Sampler[Step]):
    """Yields the steps of a run from any iteration, without end.

    Args:
        streams: The order of each task's samples.
        schedule: Which tasks a step trains.
        start: The first iteration.
        seed: The run's seed.
    """

    def __init__(
        self,
        streams: Mapping[str, TaskStream],
        schedule: TaskSchedule,
        start: int,
        seed: int,
    ) -> None:
        self.streams = streams
        self.schedule = schedule
        self.start = start
        self.seed = seed

    def __iter__(self) -> Iterator[Step]:
        """Iterate over the steps."""
        before = self.schedule.before(self.start, self.seed)
        batches = {
            task: enumerate(stream.batches(before[task], self.seed), before[task])
            for task, stream in self.streams.items()
        }
        iteration = self.start
        while True:
            counts = self.schedule.counts(iteration, self.seed)
            taken = {
                task: [next(batches[task]) for _ in range(count)]
                for task, count in counts.items()
            }
            yield Step(iteration, taken)
            iteration += 1


class StepDataset(Dataset):
    """Maps a step to its tasks' collated batches.

    Order and augmentation of a task's samples are functions of the seed, the task and
    the batch's position in the task's own stream.

    Args:
        streams: The tasks' streams.

    Attributes:
        seed: The run's seed.
        metainfo: That of each task's dataset, None where it has none. MMEngine's hooks
            write it to the log and into checkpoints, so it is of Python's own types,
            where a config's would be of MMEngine's.
    """

    def __init__(self, streams: Mapping[str, TaskStream]) -> None:
        # Not the streams themselves: samplers need not go to a spawned worker.
        self.datasets = {task: stream.dataset for task, stream in streams.items()}
        self.collate_fns = {task: item.collate_fn for task, item in streams.items()}
        self.seed = 0
        self.rank = get_rank()
        self.metainfo = {
            task: to_plain(getattr(dataset, "metainfo", None))
            for task, dataset in self.datasets.items()
        }

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            AttributeError: If it is a pipeline, which hooks of a single task's run set
                and nothing here would use.
        """
        if name in ("pipeline", "transform", "transforms"):
            raise AttributeError(
                f"A hook sets `{name}` of the training data, and a multi-task run has "
                f"a set for each task: {', '.join(self.datasets)}. Other processes "
                "read them, so that a pipeline cannot change during a run; take the "
                "hook out of `custom_hooks`."
            )
        super().__setattr__(name, value)

    def __len__(self) -> int:
        """Return the samples of all tasks together."""
        return sum(len(dataset) for dataset in self.datasets.values())

    def __getitem__(self, step: Step) -> StepData:
        """Make the batches of a step."""
        data = StepData({}, {}, [], {})
        for task, parts in step.batches.items():
            began = time.perf_counter()
            made = [self._collate(task, *part, data.faults) for part in parts]
            data.batches[task] = made[0] if len(made) == 1 else Batches(made)
            data.seen[task] = sum(len(indices) for _, indices in parts)
            data.seconds[task] = time.perf_counter() - began
        return data

    def _collate(
        self, task: str, position: int, indices: list[int], faults: list[Fault]
    ) -> Any:
        samples = [
            self._load(task, index, (position, place), faults)
            for place, index in enumerate(indices)
        ]
        return self.collate_fns[task](samples)

    def _load(
        self, task: str, index: Any, place: tuple[int, int], faults: list[Fault]
    ) -> Any:
        """Load a sample, or the first after it that can be loaded."""
        dataset, tries = self.datasets[task], [index]
        if not isinstance(index, (tuple, list)):  # A sampler of videos has pairs.
            tries = [(index + step) % len(dataset) for step in range(_TRIES)]
        for candidate in tries:
            seed_data(derive_seed(self.seed, self.rank, task, *place))
            try:
                return dataset[candidate]
            except Exception as error:
                last = error
                reason = f"{type(error).__name__}: {error}"
                faults.append((task, candidate, reason))
        others = f", nor the {len(tries) - 1} after it" if tries[1:] else ""
        raise RuntimeError(
            f"Task {task!r} cannot load sample {index} of its training set{others} "
            f"({reason}). Check the files and the transforms in "
            f"`train_dataloader.{task}.dataset.pipeline`."
        ) from last
