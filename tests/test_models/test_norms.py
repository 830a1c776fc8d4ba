"""Normalisation that is private, shared or unit-wise: what equals what."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.apis import load_config, read_checkpoint
from gppf_mm.engine.distributed import SIMTDataParallel, SIMTFullyShardedDataParallel
from gppf_mm.engine.runner.checks import check_sync_bn
from gppf_mm.export import export_state_dict, export_task
from gppf_mm.models import GPPF, LegoNetwork
from gppf_mm.models.compilation import compile_networks
from gppf_mm.registry import RUNNERS
from gppf_mm.utils.loading import load_whole
from tests.ranks import RANKS, on_ranks
from tests.runs import make_tiny_toy, tiny_config
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    loss_of,
    predictions,
    relative_error,
    task_configs,
)
from tests.stock_backbones import BACKBONES

WIDTH = 8
ONE = dict(type="FixedRouter")
OWN = dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[2]))
TOP2 = dict(type="TopKRouter", k=2, init_std=1.0)
SOFT = dict(type="SoftRouter", init_std=1.0)
NORM = "backbone.layer1.0.bn1"

every_norm = pytest.mark.parametrize("norm", ["private", "shared", "unit"])
apart_norms = pytest.mark.parametrize("norm", ["shared", "unit"])
checkpointing = pytest.mark.parametrize(
    "with_cp", [False, True], ids=["stored", "checkpointed"]
)


def build(
    norm: str,
    router: dict[str, Any] = TOP2,
    num_units: int = 3,
    tasks: dict | None = None,
    perturbation: float = 0.0,
) -> GPPF:
    torch.manual_seed(0)
    lego = dict(norm=norm, init=dict(perturbation=perturbation))
    return build_gppf(router, num_units, tasks or task_configs(WIDTH), lego=lego)


def train(model: nn.Module, steps: int = 2, first: int = 0) -> nn.Module:
    """Train by SGD, whose steps show every bit of a difference."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    wrapper = OptimWrapper(optimizer)
    for step in range(first, first + steps):
        model.train_step(batches(step), wrapper)
    return model


def exported(model: GPPF) -> dict[str, Tensor]:
    return {
        f"{task}.{name}": value
        for task in model.task_names
        for name, value in export_state_dict(model, task).items()
    }


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_with_one_unit_shared_and_unit_norms_are_the_same() -> None:
    models = [train(build(norm, ONE, 1), 3) for norm in ("shared", "unit")]
    assert_equal(exported(models[0]), exported(models[1]))


@checkpointing
@every_norm
def test_one_task_alone_is_the_stock_model(norm: str, with_cp: bool) -> None:
    cfgs = task_configs(WIDTH, with_cp)
    model = build(norm, ONE, 1, dict(seg=cfgs["seg"]))
    stock = build_stock("seg", WIDTH, with_cp)
    stock.load_state_dict(export_state_dict(model, "seg"))
    ours, theirs = (
        OptimWrapper(torch.optim.SGD(item.parameters(), 0.01, momentum=0.9))
        for item in (model, stock)
    )
    for step in range(3):
        model.train_step(dict(seg=batches(step)["seg"]), ours)
        stock.train_step(batches(step)["seg"], theirs)
    assert_equal(export_state_dict(model, "seg"), stock.state_dict())


def test_with_a_unit_for_each_task_unit_norms_are_private() -> None:
    models = [train(build(norm, OWN)) for norm in ("private", "unit")]
    assert_equal(exported(models[0]), exported(models[1]))


def test_unit_norms_of_one_common_unit_are_shared() -> None:
    routes = dict(type="FixedRouter", routes={task: [1] for task in TASKS})
    models = [train(build("unit", routes)), train(build("shared", ONE, 1))]
    assert_equal(exported(models[0]), exported(models[1]))


@pytest.mark.parametrize("router", [OWN, TOP2, dict(SOFT, group="layer")])
@apart_norms
def test_an_exported_task_predicts_the_same(norm: str, router: dict) -> None:
    model = train(build(norm, router, perturbation=0.5))
    for task in TASKS:
        stock = build_stock(task, WIDTH).eval()
        stock.load_state_dict(export_state_dict(model, task), strict=True)
        batch = batches(9)[task]
        with torch.no_grad():
            found = predictions(task, stock.test_step(batch))
            expected = predictions(task, model.eval().predict(task, batch))
        assert relative_error(found, expected) < 1e-5
        model.train()


def sets(model: GPPF, layer: str = NORM) -> list[nn.Module]:
    return list(model.network.statistics.get_submodule(layer).units)


@pytest.mark.parametrize(("norm", "count"), [("shared", 1), ("unit", 3)])
def test_statistics_are_in_the_checkpoint_once(norm: str, count: int) -> None:
    names = list(build(norm).state_dict())
    found = [name for name in names if name.endswith(f"{NORM}.running_mean")]
    assert not found
    prefix = f"network.statistics.{NORM}.units"
    found = [name for name in names if name.startswith(f"{prefix}.")]
    leaves = ("running_mean", "running_var", "num_batches_tracked")
    assert found == [f"{prefix}.{i}.{leaf}" for i in range(count) for leaf in leaves]
    private = build("private").state_dict()
    assert not [name for name in private if "statistics" in name]


def test_statistics_follow_the_units_of_their_layer() -> None:
    model = train(build("unit", dict(TOP2, group="layer", k=1), num_units=8), 1)
    groups = model.network.groups
    assert groups[f"{NORM}.weight"] == "backbone.layer1.0.conv1"
    assert groups["backbone.bn1.weight"] == "backbone.conv1"
    for layer in (NORM, "backbone.bn1"):
        route = groups[f"{layer}.weight"]
        active = [model.network.draw(task).units()[route][0] for task in TASKS]
        for index, unit in enumerate(sets(model, layer)):
            assert unit.num_batches_tracked == active.count(index)
            assert unit.running_mean.any() == (index in active)


@apart_norms
def test_a_state_is_loaded_bit_by_bit_and_goes_on_the_same(norm: str) -> None:
    model = train(build(norm, perturbation=0.5))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    others = [build(norm, dict(TOP2, seed=9)), deepcopy(model)]
    # A bare dict lacks the versions by which a batch norm knows its counter.
    load_whole(others[0], state)
    for other in others:
        assert_equal(dict(other.state_dict()), state)
    train(model, first=5)
    for other in others:
        assert_equal(dict(train(other, first=5).state_dict()), model.state_dict())


def test_tasks_still_share_after_a_move() -> None:
    model = build("shared", ONE, 1).double()
    for task in ("det", "seg"):
        with model.activate(task) as stock:
            assert (
                stock.backbone.bn1.running_mean
                is sets(model, "backbone.bn1")[0].running_mean
            )
    assert sets(model)[0].running_mean.dtype == torch.float64


def poisoned() -> dict[str, Any]:
    data = batches(3)
    data["seg"]["inputs"] = [image.float() for image in data["seg"]["inputs"]]
    data["seg"]["inputs"][0][:] = float("nan")
    return data


@pytest.mark.parametrize("router", [OWN, TOP2])
@apart_norms
def test_a_loss_that_is_not_finite_leaves_statistics_alone(
    norm: str, router: dict
) -> None:
    model = train(build(norm, router, perturbation=0.5), 1)
    twin = deepcopy(model)
    data = batches(3)
    wrappers = [
        OptimWrapper(torch.optim.SGD(item.parameters(), 0.01)) for item in (model, twin)
    ]
    model.train_step(poisoned(), wrappers[0])
    twin.train_step(dict(det=data["det"], cls=data["cls"]), wrappers[1])
    assert_equal(
        dict(model.network.statistics.state_dict()),
        dict(twin.network.statistics.state_dict()),
    )


@apart_norms
def test_a_frozen_recipe_uses_statistics_and_moves_none(norm: str) -> None:
    tasks = task_configs(WIDTH)
    tasks["det"]["backbone"].update(norm_eval=True, frozen_stages=1)
    model = build(norm, tasks=tasks, perturbation=0.5)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
    before = deepcopy(model.network.statistics.state_dict())
    model.train_step(dict(det=batches()["det"]), optimizer)
    assert_equal(dict(model.network.statistics.state_dict()), dict(before))
    stem = model.network.bank
    weights = (
        stem.units("backbone.bn1.weight")
        if norm == "unit"
        else [stem.parameter("backbone.bn1.weight")]
    )
    assert all(weight.grad is None for weight in weights)
    model.train_step(dict(cls=batches()["cls"]), optimizer)
    after = model.network.statistics.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items())


@apart_norms
def test_recomputed_blocks_have_the_same_gradients(norm: str) -> None:
    found = []
    for with_cp in (False, True):
        model = build(norm, SOFT, tasks=task_configs(WIDTH, with_cp), perturbation=0.5)
        with model.activate("seg") as stock:
            loss_of(stock, batches()["seg"]).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        if gradient is not None:
            torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@apart_norms
def test_layer_norms_are_placed_and_have_no_statistics(norm: str) -> None:
    parts = {task: {"backbone": BACKBONES["swin"]()} for task in ("a", "b")}
    network = LegoNetwork(parts, 3, SOFT, norm=norm).train()
    names = network.bank.lego_names if norm == "unit" else network.bank.shared_names
    assert "backbone.stages.0.blocks.0.norm1.weight" in names
    assert not list(network.statistics.buffers())
    with network.activate("a"):
        outputs = parts["a"]["backbone"](torch.randn(2, 3, 32, 32))
        sum(output.square().sum() for output in outputs).backward()
    assert all(
        parameter.grad is not None
        for name, parameter in network.bank.named_parameters()
        if "norm3" in name or "norm1" in name
    )


def test_rules_win_and_statistics_are_where_their_weight_is() -> None:
    lego = dict(
        norm="unit",
        placement=[("*.layer4.*bn*", "private"), ("*.layer3.*bn*", "shared")],
    )
    model = train(build_gppf(OWN, 3, task_configs(WIDTH), lego=lego), 1)
    assert model.tasks.det.backbone.layer4[0].bn1.num_batches_tracked == 1
    assert len(sets(model, "backbone.layer3.0.bn1")) == 1
    assert sets(model, "backbone.layer3.0.bn1")[0].num_batches_tracked == 3
    assert [u.num_batches_tracked for u in sets(model)] == [1, 1, 1]


def statistics_of(model: GPPF) -> dict[str, Tensor]:
    return {n: value.clone() for n, value in model.network.statistics.named_buffers()}


def run_ranks(rank: int) -> dict[str, Any]:
    found = {}
    for norm in ("shared", "unit"):
        for wrapper in (SIMTDataParallel, SIMTFullyShardedDataParallel):
            model = build(norm, perturbation=0.5)
            wrapped = wrapper(model)
            optimizer = OptimWrapper(torch.optim.SGD(wrapped.parameters(), 0.01))
            if wrapper is SIMTFullyShardedDataParallel:
                wrapped.adopt(optimizer)
            wrapped.train_step(batches(rank), optimizer)
            found[norm, wrapper.__name__] = statistics_of(model)
    return found


@pytest.mark.slow
def test_ranks_average_statistics(tmp_path: Path) -> None:
    ranks = on_ranks(run_ranks, tmp_path)
    for key, found in ranks[0].items():
        alone = []
        for rank in range(RANKS):
            model = build(key[0], perturbation=0.5)
            optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
            model.train_step(batches(rank), optimizer)
            alone.append(statistics_of(model))
        for name, value in found.items():
            assert torch.equal(value, ranks[1][key][name]), (key, name)
            expected = sum(side[name].double() for side in alone) / RANKS
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@apart_norms
def test_compiled_networks_move_the_same_statistics(norm: str) -> None:
    cfg = dict(cls=task_configs(WIDTH)["cls"])
    models = [build(norm, tasks=cfg, perturbation=0.5) for _ in range(2)]
    compile_networks(models[1], dict(backend="aot_eager"))
    for model in models:
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
        for step in range(2):
            model.train_step(dict(cls=batches(step)["cls"]), optimizer)
    found, expected = map(statistics_of, models)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_an_unknown_norm_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`lego\.norm` is 'both'.*'unit'"):
        build("both")


def test_a_run_must_not_replace_batch_norms_of_the_bank() -> None:
    check_sync_bn(dict(sync_bn="torch"), build("private"))
    check_sync_bn({}, build("unit"))
    with pytest.raises(ValueError, match=r"`sync_bn` replaces.*norm_cfg"):
        check_sync_bn(dict(sync_bn="torch"), build("unit"))


@pytest.mark.slow
def test_a_run_resumes_bit_by_bit_and_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With units that differ by stage, through checkpoint, resume and export."""
    monkeypatch.chdir(make_tiny_toy(tmp_path))
    options = {
        "model.lego.norm": "unit",
        "model.lego.num_units": [1, 2, 2, 4, 4],
        "train_cfg.val_interval": 9,
    }
    whole, parted = (
        tiny_config(tmp_path / name, options) for name in ("whole", "parted")
    )
    parted.resume, parted.load_from = True, str(tmp_path / "whole/iter_2.pth")
    for cfg in (whole, parted):
        RUNNERS.build(cfg).train()
    states = [
        read_checkpoint(Path(cfg.work_dir) / "iter_4.pth")["state_dict"]
        for cfg in (whole, parted)
    ]
    assert any("statistics" in name for name in states[0])
    assert_equal(states[0], states[1])
    # It loads the exported weights strictly into the stock model, too.
    written = load_config(next((tmp_path / "whole").glob("*.py")))
    last = tmp_path / "whole/iter_4.pth"
    done = export_task(written, last, "seg", tmp_path / "seg.pth")
    found = read_checkpoint(done.checkpoint)["state_dict"]
    assert found["backbone.bn1.num_batches_tracked"] > 0
