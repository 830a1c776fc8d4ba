from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch.utils.data import DataLoader, Dataset

from gppf_mm.datasets import SIMTDataLoader, TaskStream
from tests.runs import make_tiny_toy, tiny_config


class NoisyDataset(Dataset):
    """Samples whose content depends on NumPy's and PyTorch's generators."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.metainfo = {"classes": ("a", "b")}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        noise = np.random.rand() + torch.rand(()).item()
        return {"index": index, "noise": noise}


def loader(size: int, batch_size: int, drop_last: bool = True) -> DataLoader:
    dataset = NoisyDataset(size)
    sampler = DefaultSampler(dataset, shuffle=True, seed=3)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=pseudo_collate,
        drop_last=drop_last,
    )


def steps(workers: int, start: int, count: int, seed: int = 0) -> list[dict]:
    simt = SIMTDataLoader({"a": loader(10, 3), "b": loader(7, 2)}, workers)
    batches = simt.iterate(start, seed)
    taken = list(islice(batches, count))
    batches.close()
    return taken


def test_samples_do_not_depend_on_the_number_of_workers():
    assert steps(0, 0, 8) == steps(2, 0, 8)


@pytest.mark.parametrize("start", [1, 3, 5, 11])
def test_a_run_entered_in_the_middle_sees_what_the_whole_run_sees(start):
    assert steps(0, start, 4) == steps(0, 0, start + 4)[start:]


def test_another_seed_gives_another_order_and_other_noise():
    first, second = steps(0, 0, 3, seed=0), steps(0, 0, 3, seed=1)
    assert first[0]["a"]["noise"] != second[0]["a"]["noise"]
    assert [s["a"]["index"] for s in first] != [s["a"]["index"] for s in second]


def test_every_epoch_visits_every_sample_once():
    stream = TaskStream("a", loader(10, 5))
    for epoch in range(3):
        batches = list(islice(stream.batches(0), 2 * epoch, 2 * epoch + 2))
        assert sorted(chain(*batches)) == list(range(10))


def test_repeated_sample_in_a_later_epoch_is_augmented_anew():
    simt = SIMTDataLoader({"a": loader(4, 4)}, 0)
    first, second = islice(simt.iterate(0, 0), 2)
    noise = dict(zip(first["a"]["index"], first["a"]["noise"], strict=True))
    again = dict(zip(second["a"]["index"], second["a"]["noise"], strict=True))
    assert all(noise[index] != again[index] for index in noise)


def test_length_is_the_largest_task_and_batch_size_the_sum():
    simt = SIMTDataLoader({"a": loader(10, 3), "b": loader(7, 1)}, 0)
    assert len(simt) == 7
    assert simt.batch_size == 4
    assert simt.dataset.metainfo["a"] == {"classes": ("a", "b")}


def test_a_set_smaller_than_its_batch_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`train_dataloader\.seg` yields no batch"):
        TaskStream("seg", loader(2, 3, drop_last=True))


class Broken(NoisyDataset):
    """A set some of whose files are gone."""

    def __init__(self, size: int, broken: set[int]) -> None:
        super().__init__(size)
        self.broken = broken

    def __getitem__(self, index: int) -> dict:
        if index in self.broken:
            raise FileNotFoundError(f"{index}.png")
        return super().__getitem__(index)


def broken_loader(size: int, broken: set[int]) -> DataLoader:
    data = Broken(size, broken)
    sampler = DefaultSampler(data, shuffle=False)
    return DataLoader(data, batch_size=4, sampler=sampler)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_sample_is_replaced_by_the_next(workers: int):
    simt = SIMTDataLoader({"det": broken_loader(8, {1, 2})}, workers)
    first, second = islice(simt.iterate(0, 0), 2)
    assert first["det"]["index"].tolist() == [0, 3, 3, 3]
    assert second["det"]["index"].tolist() == [4, 5, 6, 7]
    assert simt.faults.faults["det"] == 3  # 1 and 2 for the second, 2 for the third.


def test_too_many_broken_samples_end_the_run():
    loaders = {"det": broken_loader(200, set(range(20, 40)))}
    batches = SIMTDataLoader(loaders, 0, max_bad_samples=0.5).iterate(0, 0)
    with pytest.raises(RuntimeError, match=r"'det' cannot load sample 20 .* nor the 9"):
        list(islice(batches, 50))
    loaders = {"det": broken_loader(200, set(range(0, 200, 2)))}
    few = SIMTDataLoader(loaders, 0, max_bad_samples=0.1).iterate(0, 0)
    with pytest.raises(RuntimeError, match=r"4 of 8 samples.*max_bad_samples"):
        list(islice(few, 50))
    enough = SIMTDataLoader(loaders, 0, max_bad_samples=0.5).iterate(0, 0)
    assert len(list(islice(enough, 50))) == 50


def test_a_bad_rate_is_an_error():
    with pytest.raises(ValueError, match=r"`train_cfg\.max_bad_samples` is 2"):
        SIMTDataLoader({"a": loader(4, 4)}, 0, max_bad_samples=2)


def test_stock_batch_sampler_and_infinite_sampler(tmp_path: Path, monkeypatch):
    """A stock recipe's aspect-ratio batches and infinite order go through."""
    from mmengine.registry import RUNNERS

    monkeypatch.chdir(make_tiny_toy(tmp_path))
    cfg = tiny_config(tmp_path / "run")
    cfg.train_dataloader.det.sampler = dict(type="DefaultSampler", shuffle=True)
    cfg.train_dataloader.det.batch_sampler = dict(type="mmdet.AspectRatioBatchSampler")
    cfg.train_dataloader.seg.sampler = dict(type="InfiniteSampler", shuffle=True)
    runner = RUNNERS.build(cfg)
    simt = runner.build_train_loop(runner._train_loop).dataloader
    wanted = [_paths(batch) for batch in islice(simt.iterate(0, 0), 12)]
    found = [_paths(batch) for batch in islice(simt.iterate(9, 0), 3)]
    assert found == wanted[9:]
    first_epoch = list(chain(*(step["seg"] for step in wanted[:8])))
    assert len(set(first_epoch)) == len(first_epoch) == 16


def _paths(batch: dict) -> dict[str, list[str]]:
    return {
        task: [sample.img_path for sample in part["data_samples"]]
        for task, part in batch.items()
    }
