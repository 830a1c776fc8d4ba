from collections.abc import Iterator
from itertools import chain, islice

import pytest
from mmdet.datasets import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from gppf_mm.datasets import TaskStream
from tests.test_datasets.noisy import noisy_loader


class Shapes(Dataset):
    """Images a third of which are upright, as mmdet's batch sampler asks for them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index

    def get_data_info(self, index: int) -> dict:
        self.asked += 1
        return dict(width=1 + index % 3, height=2)


class Backwards(Sampler):
    """A sampler without seed or epoch."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self))[::-1])


class Paired(InfiniteSampler):
    """An endless sampler of one's own, which gives each sample twice."""

    def _infinite_indices(self) -> Iterator[int]:
        for index in super()._infinite_indices():
            yield from (index, index)


def shapes_loader(
    batch_sampler: type = AspectRatioBatchSampler,
    size: int = 25,
    batch_size: int = 4,
    drop_last: bool = True,
) -> DataLoader:
    data = Shapes(size)
    sampler = DefaultSampler(data, seed=1)
    batches = batch_sampler(sampler, batch_size, drop_last=drop_last)
    return DataLoader(data, batch_sampler=batches, collate_fn=pseudo_collate)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("size", [10, 11, 12])
def test_batches_are_those_of_the_stock_loader(size: int, drop_last: bool):
    loader = noisy_loader(size, 4, drop_last)
    stream = TaskStream("a", loader)
    wanted = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        wanted += list(loader.batch_sampler)
    assert list(islice(stream.batches(0), len(wanted))) == wanted


@pytest.mark.parametrize(
    "loader",
    [
        noisy_loader(10, 4, drop_last=False),
        shapes_loader(),
        shapes_loader(BatchSampler),
        DataLoader(Shapes(10), sampler=Backwards(Shapes(10)), batch_size=3),
    ],
    ids=["plain", "aspect ratio", "batch sampler", "sampler"],
)
def test_a_stream_entered_anywhere_goes_on_as_the_whole(loader: DataLoader):
    stream = TaskStream("a", loader)
    whole = list(islice(stream.batches(0), 40))
    for start in range(20):
        assert list(islice(stream.batches(start), 20)) == whole[start : start + 20]


def test_every_epoch_visits_every_sample_once():
    stream = TaskStream("a", noisy_loader(10, 5))
    for epoch in range(3):
        batches = list(islice(stream.batches(0), 2 * epoch, 2 * epoch + 2))
        assert sorted(chain(*batches)) == list(range(10))


def test_aspect_ratio_batches_are_the_stock_ones():
    loader = shapes_loader()
    stream = TaskStream("a", loader)
    found = list(islice(stream.batches(0), len(stream)))
    loader.batch_sampler.sampler.set_epoch(0)
    assert found == list(islice(loader.batch_sampler, len(stream)))
    # The last batch of an epoch has what the groups leave.
    for batch in found[:-1]:
        assert len({index % 3 > 0 for index in batch}) == 1


# Windows of 2,049 samples or fewer, and what is left of the set is up to twice as long.
LARGE = dict(size=9_001, batch_size=3, drop_last=False)


def test_aspect_ratio_batches_of_a_large_set_hold_each_sample_once():
    stream = TaskStream("a", shapes_loader(**LARGE))
    batches = list(islice(stream.batches(0), len(stream)))
    assert sorted(chain(*batches)) == list(range(LARGE["size"]))
    mixed = [len({index % 3 > 0 for index in batch}) > 1 for batch in batches]
    # One for each of the four windows at most.
    assert sum(mixed) <= 4


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_full_window_loses_nothing_to_drop_last(drop_last: bool):
    stream = TaskStream("a", shapes_loader(**{**LARGE, "drop_last": drop_last}))
    # All but the last window, of which mmdet drops a batch.
    begun = list(chain(*islice(stream.batches(0), 3 * (2048 // 3))))
    assert len(set(begun)) == len(begun) == 3 * 2046


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_large_grouped_set_is_entered_anywhere_by_reading_one_window(drop_last: bool):
    loader = shapes_loader(**{**LARGE, "drop_last": drop_last})
    stream = TaskStream("a", loader)
    whole = list(islice(stream.batches(0), len(stream) + 800))
    for start in (1, 681, 682, 683, 2045, 2046, 2047, 2999, 3000, 3001, 3700):
        loader.dataset.asked = 0
        assert next(stream.batches(start)) == whole[start]
        assert loader.dataset.asked < 2 * 2048
        found = list(islice(stream.batches(start), 60))
        assert found == whole[start : start + 60]


def test_a_far_position_is_read_and_not_replayed():
    class Unread(DefaultSampler):
        def __iter__(self):
            raise AssertionError("replayed")

    loader = noisy_loader(10, 4)
    near = list(islice(TaskStream("a", loader).batches(2), 2))
    # The stock class, for which alone a place is known, but not its iterator.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultSampler, "__iter__", Unread.__iter__)
        assert list(islice(TaskStream("a", loader).batches(2), 2)) == near


def test_a_batch_sampler_without_batches_is_an_error():
    class Silent(BatchSampler):
        def __iter__(self):
            return iter(())

    stream = TaskStream("seg", shapes_loader(Silent))
    with pytest.raises(RuntimeError, match=r"train_dataloader\.seg.*yields no batch"):
        next(stream.batches(0))


def test_a_set_smaller_than_its_batch_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`train_dataloader\.seg` yields no batch"):
        TaskStream("seg", noisy_loader(2, 3, drop_last=True))


def test_an_endless_sampler_of_ones_own_is_entered_anywhere():
    data = Shapes(6)
    stream = TaskStream("a", DataLoader(data, 2, sampler=Paired(data)))
    whole = list(islice(stream.batches(0, seed=5), 18))
    expected = islice(Paired(data, seed=5), 36)
    assert list(chain(*whole)) == list(expected)
    assert whole[:6] != whole[6:12]
    for start in (2, 3, 10):
        assert list(islice(stream.batches(start, seed=5), 8)) == whole[start:][:8]
