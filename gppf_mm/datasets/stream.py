"""One task's training data as an endless sequence of batches, entered anywhere."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

from mmengine.dataset import DefaultSampler
from torch.utils.data import BatchSampler, DataLoader

from .order import LazySampler, epoch_order


class TaskStream:
    """The order in which a task's samples are visited.

    It takes dataset, samplers and collate function from a stock loader and repeats its
    epochs without end. The order is a function of the sampler's seed and the position,
    so that a resumed run starts at its position without replaying what came before:

    * With MMEngine's ``DefaultSampler`` and PyTorch's ``BatchSampler``, which most
      recipes have, a batch is read from its place in the epoch's order.
    * Any other sampler or batch sampler, such as mmdet's ``AspectRatioBatchSampler``
      and ``ClassAwareSampler``, decides by what came before: the present epoch's
      indices, no samples, are replayed up to the position. Epochs before are not.

    An epoch has as many batches as the batch sampler's length says; where it yields
    fewer, it begins again.

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
        self.worker_init_fn = loader.worker_init_fn
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
            start: The first batch's position.
            seed: The sampler's seed, equal on all ranks. Defaults to None, the one it
                was built with.

        Yields:
            Indices into the dataset.
        """
        sampler: Any = getattr(self.batch_sampler, "sampler", None)
        if seed is not None and hasattr(sampler, "seed"):
            sampler.seed = seed
        stock = type(sampler) is DefaultSampler
        plain = stock and type(self.batch_sampler) is BatchSampler
        epoch, skip = divmod(start, len(self))
        while True:
            if plain:
                yield from self._read(sampler, epoch, skip)
            else:
                source = LazySampler(sampler) if stock else sampler
                if hasattr(source, "set_epoch"):
                    source.set_epoch(epoch)
                yield from islice(self._replay(sampler, source), skip, len(self))
            epoch, skip = epoch + 1, 0

    def _read(
        self, sampler: DefaultSampler, epoch: int, skip: int
    ) -> Iterator[list[int]]:
        """Read batches from their places in the order of an epoch."""
        order = epoch_order(sampler, epoch)
        for first in range(skip, len(self)):
            place = first * self.batch_size
            yield order[place : place + self.batch_size].tolist()

    def _replay(self, sampler: Any, source: Any) -> Iterator[list[int]]:
        """Run the stock batch sampler over another source, over and over."""
        found = True
        while found:
            found = False
            # A copy, for stock batch samplers keep half-filled batches when left early.
            for batch in deepcopy(self.batch_sampler, {id(sampler): source}):
                found = True
                yield batch
        raise RuntimeError(
            f"The batch sampler of `train_dataloader.{self.task}` "
            f"({type(self.batch_sampler).__name__}) yields no batch, and its length is "
            f"{len(self)}; expected as many batches. Mend its `__len__`, or lower "
            "batch_size."
        )
