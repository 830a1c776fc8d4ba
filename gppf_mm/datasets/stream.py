"""One task's training data as an endless sequence of batches, entered anywhere."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader


class TaskStream:
    """The order in which a task's samples are visited.

    It takes dataset, samplers and collate function from a stock loader and repeats its
    epochs without end. The order is a function of the sampler's seed and the position,
    so that a resumed run starts at its position without replaying what came before.

    Args:
        task: The task, named in errors.
        loader: The task's stock loader; its workers are never started.

    Raises:
        ValueError: If the loader yields no batch.
    """

    def __init__(self, task: str, loader: DataLoader) -> None:
        self.task = task
        self.dataset = loader.dataset
        self.collate_fn = loader.collate_fn
        self.batch_sampler = loader.batch_sampler
        self.batch_size = loader.batch_size or self.batch_sampler.batch_size
        if len(self.batch_sampler) == 0:
            raise ValueError(
                f"`train_dataloader.{task}` yields no batch: its dataset has "
                f"{len(self.dataset)} samples and its batch size is {self.batch_size}. "
                "Check the annotation file and the filters of the dataset, lower "
                "batch_size, or set drop_last=False."
            )

    def __len__(self) -> int:
        """Return the batches of one epoch."""
        return len(self.batch_sampler)

    def batches(self, start: int, seed: int | None = None) -> Iterator[list[int]]:
        """Yield the sample indices of each batch, without end.

        Args:
            start: The first batch's position; what comes before is skipped by its
                epoch, at the cost of one epoch's indices at most.
            seed: The sampler's seed, equal on all ranks. Defaults to None, the one it
                was built with.

        Yields:
            Indices into the dataset.
        """
        sampler: Any = getattr(self.batch_sampler, "sampler", None)
        if seed is not None and hasattr(sampler, "seed"):
            sampler.seed = seed
        epoch, skip = divmod(start, len(self))
        while True:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
            # A copy, for stock batch samplers keep half-filled batches when left early.
            batches = deepcopy(self.batch_sampler, {id(sampler): sampler})
            yield from islice(iter(batches), skip, None)
            epoch, skip = epoch + 1, 0
