"""The training loader: one pool of workers makes whole SIMT steps."""

import math
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from torch.utils.data import DataLoader

from .faults import FaultCounter
from .pool import WorkerPool
from .schedules import EveryTaskSchedule, TaskSchedule
from .steps import StepDataset, StepSampler
from .stream import TaskStream


class SIMTDataLoader:
    """Yields the batches of the tasks that each iteration trains.

    A worker makes the batches of one whole iteration, so that there is one pool of
    workers whatever the number of tasks and no task waits for another's prefetching
    (our choice). Order and augmentation of a task's samples are a function of the seed,
    the task and the position in the task's own stream: they depend neither on the
    number of workers nor on the other tasks, and a resumed run goes on where it stopped
    at once.

    Args:
        loaders: The stock loader of each task.
        num_workers: Worker processes for all tasks together.
        pin_memory: Whether batches are put into page-locked memory. Defaults to False.
        max_bad_samples: The share of a task's samples that may be unreadable, beyond
            the first three. Such a sample is logged and replaced by the one after it.
            Defaults to 0.01 (our choice).
        schedule: Which tasks an iteration trains. Defaults to None, every task.
        prefetch_factor: Iterations that each worker makes in advance. Defaults to None,
            PyTorch's 2.
        multiprocessing_context: How workers start; see `WorkerPool`. Defaults to None.
        timeout: Seconds after which a step that has not come is an error. Defaults to
            0, never.

    Attributes:
        pool: The workers.
        batch_size: Expected samples in an iteration.
        data_times: The seconds that a worker took for each task's batches of the
            present iteration.
    """

    def __init__(
        self,
        loaders: Mapping[str, DataLoader],
        num_workers: int,
        pin_memory: bool = False,
        max_bad_samples: float = 0.01,
        schedule: TaskSchedule | None = None,
        prefetch_factor: int | None = None,
        multiprocessing_context: str | None = None,
        timeout: float = 0,
    ) -> None:
        self.faults = FaultCounter(max_bad_samples)
        self.streams = {task: TaskStream(task, item) for task, item in loaders.items()}
        self.schedule = schedule or EveryTaskSchedule(set_sizes(loaders))
        self.pool = WorkerPool(
            num_workers,
            pin_memory,
            prefetch_factor,
            multiprocessing_context,
            timeout,
            [item.worker_init_fn for item in loaders.values() if item.worker_init_fn],
        )
        self.batch_size = sum(
            self.streams[task].batch_size * rate
            for task, rate in self.schedule.rates().items()
        )
        self.dataset = StepDataset(self.streams)
        self.data_times: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the expected iterations in which each task is seen once or more."""
        rates = self.schedule.rates()
        # Rounded before it is rounded up, for a rate such as 1/3 is not exact.
        return max(
            math.ceil(round(len(stream) / rates[task], 6))
            for task, stream in self.streams.items()
        )

    def iterate(self, start: int, seed: int) -> Generator[dict[str, Any], None, None]:
        """Yield batches without end.

        Args:
            start: The first iteration.
            seed: The run's seed, equal on all ranks.

        Yields:
            The collated batch of each task that the iteration trains, or several as
            `Batches`, by task.

        Raises:
            RuntimeError: If too many samples cannot be loaded.
        """
        self.dataset.seed = seed
        sampler = StepSampler(self.streams, self.schedule, start, seed)
        with closing(self.pool.run(self.dataset, sampler)) as steps:
            for step in steps:
                self.faults.add(step.seen, step.faults)
                self.data_times = step.seconds
                yield step.batches


def set_sizes(loaders: Mapping[str, DataLoader]) -> dict[str, int]:
    """Return the samples in each task's set."""
    return {task: len(loader.dataset) for task, loader in loaders.items()}
