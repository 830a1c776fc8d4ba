"""One task's training data as an endless sequence of batches, entered anywhere."""

from collections.abc import Iterator
from copy import copy, deepcopy
from itertools import islice
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from .order import OrderSampler, epoch_order

# mmdet's batch samplers that group a sampler's indices, in the order of arrival. This
# package works without mmdet.
GROUPING = ("AspectRatioBatchSampler", "TrackAspectRatioBatchSampler")
# So many samples are grouped by themselves (our choice): read in a few milliseconds,
# while one batch in hundreds has what the groups leave.
_WINDOW = 2048


class TaskStream:
    """The order in which a task's samples are visited.

    It takes dataset, samplers and collate function from a stock loader and repeats its
    epochs without end. The order is a function of the sampler's seed and the position,
    so that a resumed run starts at its position without replaying what came before:

    * With MMEngine's ``DefaultSampler`` and PyTorch's ``BatchSampler``, which most
      recipes have, a batch is read from its place in the epoch's order.
    * mmdet's ``AspectRatioBatchSampler`` decides by what came before. It runs over
      windows of 2,048 to 4,095 samples of that order, and the present one is replayed.
      A window's last batches have what its groups leave, as an epoch's in mmdet.
    * Any other sampler or batch sampler, such as mmdet's ``ClassAwareSampler``, has the
      present epoch's indices, no samples, replayed up to the position. Epochs before
      are not, so that the order of a sampler that remembers them, such as mmdet's
      ``MultiSourceSampler``, does depend on where a run was resumed.
    * One that derives from MMEngine's ``InfiniteSampler`` knows no epochs. All its
      indices are replayed up to the position.

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
        if isinstance(sampler, InfiniteSampler):
            # It goes on where it was left, or not at all if that was closed.
            sampler.indices = sampler._indices_of_rank()
            yield from islice(self._replay(self.batch_sampler), start, None)
        epoch, skip = divmod(start, len(self))
        while True:
            if type(sampler) is not DefaultSampler:
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
                yield from islice(self._replay(self.batch_sampler), skip, len(self))
            elif type(self.batch_sampler) is BatchSampler:
                yield from self._read(epoch_order(sampler, epoch), skip)
            else:
                yield from self._group(sampler, epoch_order(sampler, epoch), skip)
            epoch, skip = epoch + 1, 0

    def _read(self, order: Tensor, skip: int) -> Iterator[list[int]]:
        """Read batches from their places in the order of an epoch."""
        for first in range(skip, len(self)):
            place = first * self.batch_size
            yield order[place : place + self.batch_size].tolist()

    def _group(
        self, sampler: DefaultSampler, order: Tensor, skip: int
    ) -> Iterator[list[int]]:
        """Run the stock batch sampler over windows of the order, or over the whole."""
        length = len(self)
        if type(self.batch_sampler).__name__ in GROUPING:
            length = max(1, _WINDOW // self.batch_size)
        # The last one is longer, so that no window is short.
        count = max(1, len(self) // length)
        for window in range(min(skip // length, count - 1), count):
            first, is_last = window * length, window == count - 1
            end = len(self) if is_last else first + length
            part = order[first * self.batch_size :]
            batches = copy(self.batch_sampler)
            if not is_last:
                part = part[: length * self.batch_size]
                # mmdet would drop the last batch, though it is full.
                batches.drop_last = False
            batches.sampler = OrderSampler(sampler, part)
            yield from islice(self._replay(batches), max(0, skip - first), end - first)

    def _replay(self, batch_sampler: Any) -> Iterator[list[int]]:
        """Run a batch sampler over and over."""
        sampler = getattr(batch_sampler, "sampler", None)
        found = True
        while found:
            found = False
            # A copy, for stock batch samplers keep half-filled batches when left early.
            for batch in deepcopy(batch_sampler, {id(sampler): sampler}):
                found = True
                yield batch
        raise RuntimeError(
            f"The batch sampler of `train_dataloader.{self.task}` "
            f"({type(self.batch_sampler).__name__}) yields no batch, and its length is "
            f"{len(self)}; expected as many batches. Mend its `__len__`, or lower "
            "batch_size."
        )
