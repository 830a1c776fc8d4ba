"""A loss that is NaN or Inf reaches no weight and no statistic."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, distributed, multiprocessing

from gppf_mm.engine.distributed import SIMTDataParallel
from gppf_mm.models import GPPF, nonfinite
from tests.stand_ins import batches, build_gppf

APART = dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[2]))
TOP2 = dict(type="TopKRouter", k=2, group="block", init_std=1.0)


def build(router: dict) -> GPPF:
    torch.manual_seed(0)
    return build_gppf(router, num_units=6)


def adam(model: GPPF) -> OptimWrapper:
    # Momentum and decay would move a weight without a gradient too.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    return OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))


def poisoned(seed: int = 0) -> dict[str, dict]:
    data = batches(seed)
    data["seg"]["inputs"] = [image.float() for image in data["seg"]["inputs"]]
    data["seg"]["inputs"][0][:] = float("nan")
    return data


def state(model: GPPF) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_others_take_the_step_they_would_take_alone():
    model = build(APART)
    twin = deepcopy(model)
    steps = adam(model), adam(twin)
    for seed in (1, 2):
        model.train_step(poisoned(seed), steps[0])
        data = batches(seed)
        twin.train_step(dict(det=data["det"], cls=data["cls"]), steps[1])
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_nothing_that_the_task_trains_changes():
    model = build(TOP2)
    optim_wrapper = adam(model)
    model.train_step(batches(), optim_wrapper)
    before = state(model)
    touched = {id(item) for item in model.network.active_parameters("seg")}
    logged = model.train_step(poisoned(1), optim_wrapper)
    assert logged["seg/loss"].isnan()
    assert logged["loss"].isfinite()
    after = state(model)
    assert all(value.isfinite().all() for value in after.values())
    names = {id(item): name for name, item in model.named_parameters()}
    kept = {names[item] for item in touched}
    kept |= {name for name in before if name.startswith("tasks.seg.")}
    changed = {name for name in before if not before[name].equal(after[name])}
    assert not changed & kept
    assert any(name.startswith("tasks.det.bbox_head") for name in changed)
    assert any("units" in name for name in changed)


def test_too_many_in_a_row_end_the_run():
    model = build_gppf(APART, num_units=3, max_nonfinite=2)
    optim_wrapper = adam(model)
    model.train_step(poisoned(), optim_wrapper)
    model.train_step(batches(), optim_wrapper)  # Begins the count anew.
    model.train_step(poisoned(), optim_wrapper)
    with pytest.raises(FloatingPointError, match=r"'seg' .* 2 steps in a row, 3 in"):
        model.train_step(poisoned(), optim_wrapper)


def test_a_row_is_counted_in_the_steps_that_train_the_task():
    model = build_gppf(APART, num_units=3, max_nonfinite=2)
    optim_wrapper = adam(model)
    bad = dict(seg=poisoned()["seg"])
    model.train_step(bad, optim_wrapper)
    model.train_step(dict(cls=batches()["cls"]), optim_wrapper)
    with pytest.raises(FloatingPointError, match=r"'seg' .* 2 steps in a row, 2 in"):
        model.train_step(bad, optim_wrapper)


def test_the_log_names_the_samples(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    tell: Callable = lambda text, **_: said.append(text)  # noqa: E731
    monkeypatch.setattr(nonfinite, "print_log", tell)
    data = poisoned()
    for index, sample in enumerate(data["seg"]["data_samples"]):
        sample.set_metainfo(dict(img_path=f"bad/{index}.png"))
    model = build(APART)
    model.train_step(data, adam(model))
    assert len(said) == 1
    assert "'seg' is nan" in said[0]
    assert "bad/0.png" in said[0]


def run_rank(rank: int, folder: Path) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    model = build(TOP2)
    parallel, optim_wrapper = SIMTDataParallel(model), adam(model)
    parallel.train_step(batches(seed=rank), optim_wrapper)
    # One rank alone has the bad image.
    parallel.train_step(poisoned(2) if rank else batches(2), optim_wrapper)
    torch.save((state(model), dict(model.nonfinite.total)), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_ranks_skip_together(tmp_path: Path):
    multiprocessing.spawn(run_rank, (tmp_path,), nprocs=2)
    (one, skipped), (other, also) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in range(2)
    )
    assert skipped == also == dict(det=0, seg=1, cls=0)
    for name, value in one.items():
        assert value.isfinite().all()
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("found", [0, None, "10"])
def test_a_bad_patience_is_an_error(found: object):
    with pytest.raises(ValueError, match=rf"`model\.max_nonfinite` is {found!r};"):
        build_gppf(APART, num_units=3, max_nonfinite=found)
