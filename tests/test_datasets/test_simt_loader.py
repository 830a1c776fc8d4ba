from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from gppf_mm.datasets import SIMTDataLoader, build_schedule
from gppf_mm.utils.batches import Batches, batches_of
from tests.runs import make_tiny_toy, tiny_config
from tests.test_datasets.noisy import NoisyDataset, noisy_loader

SIZES = dict(a=10, b=7)
SCHEDULES = [
    None,
    dict(type="gppf_mm.EveryTaskSchedule", batches=dict(b=3)),
    dict(type="gppf_mm.RoundRobinSchedule", batches=dict(a=2)),
    dict(type="gppf_mm.RandomSchedule"),
    dict(type="gppf_mm.ProportionalSchedule"),
    dict(type="gppf_mm.TemperatureSchedule"),
]
any_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES, ids=lambda cfg: cfg["type"] if cfg else "default"
)


def simt_loader(workers: int, schedule: dict | None = None) -> SIMTDataLoader:
    loaders = {"a": noisy_loader(10, 3), "b": noisy_loader(7, 2)}
    return SIMTDataLoader(loaders, workers, schedule=build_schedule(schedule, SIZES))


def steps(
    workers: int, start: int, count: int, seed: int = 0, schedule: dict | None = None
) -> list[dict]:
    with closing(simt_loader(workers, schedule).iterate(start, seed)) as batches:
        return list(islice(batches, count))


@any_schedule
def test_samples_do_not_depend_on_the_number_of_workers(schedule: dict | None):
    assert steps(0, 0, 8, schedule=schedule) == steps(2, 0, 8, schedule=schedule)


@any_schedule
def test_a_run_entered_anywhere_sees_what_the_whole_run_sees(schedule: dict | None):
    whole = steps(0, 0, 24, schedule=schedule)
    for start in range(20):
        assert steps(0, start, 4, schedule=schedule) == whole[start : start + 4]


@any_schedule
def test_a_task_sees_the_same_whatever_the_schedule(schedule: dict | None):
    """Its samples and their augmentation: other tasks only decide when."""

    def stream(found: list[dict], task: str) -> Iterator[Any]:
        return chain(*(batches_of(step[task]) for step in found if task in step))

    wanted, found = steps(0, 0, 12), steps(0, 0, 12, schedule=schedule)
    for task in SIZES:
        pairs = list(zip(stream(wanted, task), stream(found, task), strict=False))
        assert pairs
        assert all(first == second for first, second in pairs)


def test_several_batches_of_a_task_come_as_such():
    schedule = dict(type="gppf_mm.EveryTaskSchedule", batches=dict(b=2))
    first, second = steps(1, 0, 2, schedule=schedule)
    assert isinstance(first["b"], Batches)
    assert not isinstance(first["a"], Batches)
    single = steps(0, 0, 4)
    assert [*first["b"], *second["b"]] == [step["b"] for step in single]


def test_the_time_of_each_tasks_batches_is_known():
    simt = simt_loader(1, dict(type="gppf_mm.RoundRobinSchedule"))
    with closing(simt.iterate(0, 0)) as batches:
        for task in ("a", "b", "a"):
            assert list(next(batches)) == [task]
            assert list(simt.data_times) == [task]
            assert 0 < simt.data_times[task] < 10


def test_another_seed_gives_another_order_and_other_noise():
    first, second = steps(0, 0, 3, seed=0), steps(0, 0, 3, seed=1)
    assert first[0]["a"]["noise"] != second[0]["a"]["noise"]
    assert [s["a"]["index"] for s in first] != [s["a"]["index"] for s in second]


def test_no_two_samples_share_their_random_numbers():
    """Not those of another epoch, batch, task or place in the batch."""
    noises = [
        noise
        for step in steps(0, 0, 12)
        for batch in step.values()
        for noise in batch["noise"]
    ]
    assert len(set(noises)) == len(noises)


def test_length_is_the_largest_task_and_batch_size_the_sum():
    loaders = {"a": noisy_loader(10, 3), "b": noisy_loader(7, 1)}
    simt = SIMTDataLoader(loaders, 0)
    assert len(simt) == 7
    assert simt.batch_size == 4
    assert simt.dataset.metainfo["a"] == {"classes": ("a", "b")}


def test_metadata_of_the_sets_load_weights_only(tmp_path: Path):
    """Also those that a config gives a set, whose dicts are MMEngine's."""
    stock = noisy_loader(10, 3)
    stock.dataset.metainfo = dict(
        groups=ConfigDict(round=("disc",)), folder=Path("a"), palette=torch.eye(2)
    )
    metainfo = SIMTDataLoader({"a": stock}, 0).dataset.metainfo
    torch.save(metainfo, tmp_path / "x.pth")
    assert torch.load(tmp_path / "x.pth", weights_only=True) == metainfo
    assert metainfo["a"] == dict(
        groups=dict(round=("disc",)), folder="a", palette=[[1.0, 0.0], [0.0, 1.0]]
    )


def test_a_hook_cannot_set_a_pipeline_that_nothing_would_use():
    with pytest.raises(AttributeError, match=r"sets `pipeline`.*a, b.*`custom_hooks`"):
        simt_loader(0).dataset.pipeline = []


def test_length_and_batch_size_follow_the_schedule():
    schedule = dict(type="gppf_mm.EveryTaskSchedule", batches=dict(b=2))
    several = simt_loader(0, schedule)
    assert (len(several), several.batch_size) == (3, 3 + 2 * 2)
    single = simt_loader(0, dict(type="gppf_mm.RoundRobinSchedule"))
    assert (len(single), single.batch_size) == (2 * 3, (3 + 2) / 2)
    # In so many steps each task has had an epoch at least, of whole batches.
    for simt in (several, single):
        seen: dict[str, set[int]] = dict(a=set(), b=set())
        for step in islice(simt.iterate(0, 0), len(simt)):
            for task, batches in step.items():
                for batch in batches_of(batches):
                    seen[task].update(batch["index"])
        assert len(seen["a"]) >= 9
        assert len(seen["b"]) >= 6


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
        SIMTDataLoader({"a": noisy_loader(4, 4)}, 0, max_bad_samples=2)


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


class Videos(DefaultSampler):
    """Yields pairs of a video and a frame, as mmdet's TrackImgSampler does."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((index // 2, index % 2) for index in super().__iter__())


class Frames(NoisyDataset):
    def __getitem__(self, index: tuple[int, int]) -> Any:
        video, frame = index
        return super().__getitem__(2 * video + frame)


def test_an_index_may_be_a_pair():
    dataset = Frames(10)
    loader = DataLoader(dataset, 2, sampler=Videos(dataset), collate_fn=list)
    with closing(SIMTDataLoader({"a": loader}, 0).iterate(0, 0)) as batches:
        (step,) = islice(batches, 1)
    assert len(step["a"]) == 2
