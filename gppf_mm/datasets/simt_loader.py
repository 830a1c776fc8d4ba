"""The training loader: one pool of workers makes whole SIMT steps."""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.dist import get_rank
from torch.utils.data import DataLoader, Dataset, Sampler

from gppf_mm.utils.seeding import derive_seed, seed_everything
from gppf_mm.utils.signals import listen

from .faults import Fault, FaultCounter
from .stream import TaskStream

# The batches by task, the samples in them, and those that were replaced.
StepData = tuple[dict[str, Any], dict[str, int], list[Fault]]
# So many samples in a row are tried before the set counts as unreadable.
_TRIES = 10


@dataclass(frozen=True)
class Step:
    """Which samples one iteration needs.

    Attributes:
        iteration: The iteration.
        indices: The sample indices of each task's batch.
    """

    iteration: int
    indices: Mapping[str, list[int]]


class SIMTDataLoader:
    """Yields one batch of every task for each iteration.

    A worker makes the batches of one whole iteration, so that there is one pool of
    workers whatever the number of tasks and no task waits for another's prefetching
    (our choice). Order and augmentation of the samples are a function of the seed, the
    task and the iteration: they do not depend on the number of workers, and a resumed
    run goes on where it stopped at once.

    Args:
        loaders: The stock loader of each task.
        num_workers: Worker processes for all tasks together.
        pin_memory: Whether batches are put into page-locked memory. Defaults to False.
        max_bad_samples: The share of a task's samples that may be unreadable. Such a
            sample is logged and replaced by the one after it. Defaults to 0.01 (our
            choice).
    """

    def __init__(
        self,
        loaders: Mapping[str, DataLoader],
        num_workers: int,
        pin_memory: bool = False,
        max_bad_samples: float = 0.01,
    ) -> None:
        self.faults = FaultCounter(max_bad_samples)
        self.streams = {task: TaskStream(task, item) for task, item in loaders.items()}
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.batch_size = sum(stream.batch_size for stream in self.streams.values())
        self.dataset = _StepDataset(self.streams)

    def __len__(self) -> int:
        """Return the iterations in which the largest task is seen once."""
        return max(len(stream) for stream in self.streams.values())

    def iterate(self, start: int, seed: int) -> Iterator[dict[str, Any]]:
        """Yield batches without end.

        Args:
            start: The first iteration.
            seed: The run's seed.

        Yields:
            The collated batch of each task, by task.

        Raises:
            RuntimeError: If too many samples cannot be loaded.
        """
        self.dataset.seed = seed
        steps = DataLoader(
            self.dataset,
            sampler=_StepSampler(self.streams, start, seed),
            batch_size=None,
            collate_fn=_identity,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            worker_init_fn=_leave_signals_to_the_run,
        )
        for batches, seen, faults in steps:
            self.faults.add(seen, faults)
            yield batches


class _StepSampler(Sampler[Step]):
    def __init__(
        self, streams: Mapping[str, TaskStream], start: int, seed: int
    ) -> None:
        self.streams = streams
        self.start = start
        self.seed = seed

    def __iter__(self) -> Iterator[Step]:
        batches = {
            task: stream.batches(self.start, self.seed)
            for task, stream in self.streams.items()
        }
        iteration = self.start
        while True:
            yield Step(iteration, {task: next(it) for task, it in batches.items()})
            iteration += 1


class _StepDataset(Dataset):
    """Maps a step to the collated batches of all tasks."""

    def __init__(self, streams: Mapping[str, TaskStream]) -> None:
        self.streams = streams
        self.seed = 0
        self.rank = get_rank()
        # MMEngine's hooks write it to the log and into checkpoints.
        self.metainfo = {
            task: getattr(stream.dataset, "metainfo", None)
            for task, stream in streams.items()
        }

    def __len__(self) -> int:
        return sum(len(stream.dataset) for stream in self.streams.values())

    def __getitem__(self, step: Step) -> StepData:
        faults: list[Fault] = []
        batches = {
            task: self._collate(task, step.iteration, indices, faults)
            for task, indices in step.indices.items()
        }
        seen = {task: len(indices) for task, indices in step.indices.items()}
        return batches, seen, faults

    def _collate(
        self, task: str, iteration: int, indices: list[int], faults: list[Fault]
    ) -> Any:
        samples = [
            self._load(task, index, (iteration, position), faults)
            for position, index in enumerate(indices)
        ]
        return self.streams[task].collate_fn(samples)

    def _load(
        self, task: str, index: int, place: tuple[int, int], faults: list[Fault]
    ) -> Any:
        """Load a sample, or the first after it that can be loaded."""
        dataset = self.streams[task].dataset
        tried = (index + step for step in range(_TRIES))
        for candidate in (number % len(dataset) for number in tried):
            seed_everything(derive_seed(self.seed, self.rank, task, *place))
            try:
                return dataset[candidate]
            except Exception as error:
                last = error
                reason = f"{type(error).__name__}: {error}"
                faults.append((task, candidate, reason))
        raise RuntimeError(
            f"Task {task!r} cannot load sample {index} of its training set, nor the "
            f"{_TRIES - 1} after it ({reason}). Check the files and the transforms in "
            f"`train_dataloader.{task}.dataset.pipeline`."
        ) from last


def _leave_signals_to_the_run(worker: int) -> None:
    """Ignore what a terminal or a scheduler sends to all processes of a job.

    The run makes its last step with what the workers have, and ends them.
    """
    listen(signal.SIG_IGN)


def _identity(data: StepData) -> StepData:
    return data
