"""A lego network in the place of a stock backbone."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dist import is_distributed
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from gppf_mm.models import LegoBackbone
from gppf_mm.models.backbones.own_keys import lego_keys_at
from gppf_mm.registry import MODELS
from tests.ranks import on_ranks
from tests.stand_ins import (
    batches,
    build_gppf,
    build_stock,
    loss_of,
    relative_error,
    task_configs,
)

HARD = dict(type="gppf_mm.FixedRouter")
TOP2 = dict(type="gppf_mm.TopKRouter", k=2, init_std=1.0)
PARTED = dict(perturbation=0.5)


@pytest.fixture(autouse=True)
def _no_iteration() -> None:
    """Forget the iteration of a runner that another test has built."""
    MessageHub.get_current_instance().runtime_info.pop("iter", None)


def config(
    task: str, router: dict, num_units: int, with_cp: bool = False, **others: Any
) -> ConfigDict:
    """Return a stand-in task's stock config with a lego backbone."""
    cfg = task_configs(with_cp=with_cp)[task]
    cfg["backbone"] = dict(
        type="gppf_mm.LegoBackbone",
        skeleton=cfg["backbone"],
        num_units=num_units,
        router=router,
        **others,
    )
    return ConfigDict(cfg)


def build(task: str, router: dict, num_units: int = 4, **others: Any) -> nn.Module:
    model = MODELS.build(config(task, router, num_units, **others))
    model.init_weights()
    return model.train()


def as_stock(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a model of a single unit under the stock model's names."""
    renamed = {
        name.replace("backbone.network.bank.lego.", "")
        .replace(".units.0.", ".")
        .replace("backbone.skeleton.", "backbone."): value.clone()
        for name, value in state.items()
    }
    return {n: v for n, v in renamed.items() if not n.startswith("backbone.network.")}


@pytest.mark.parametrize("with_cp", [False, True])
@pytest.mark.parametrize("task", ["det", "cls"])
def test_one_unit_is_the_stock_backbone(task: str, with_cp: bool) -> None:
    model = build(task, HARD, num_units=1, with_cp=with_cp)
    stock = build_stock(task, with_cp=with_cp)
    stock.load_state_dict(as_stock(model.state_dict()))
    for part in (model, stock):
        optim = OptimWrapper(torch.optim.AdamW(part.parameters(), lr=1e-3))
        for step in range(3):
            part.train_step(batches(step)[task], optim)
    found, expected = as_stock(model.state_dict()), dict(stock.state_dict())
    assert relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("with_cp", [False, True])
def test_gradients_are_those_of_the_mixed_weights(with_cp: bool) -> None:
    """Also where blocks are recomputed after the forward pass is over."""
    model = build("cls", TOP2, with_cp=with_cp, init=PARTED)
    network = model.backbone.network
    routes = network.draw("task").routes
    stock = build_stock("cls")
    state = dict(stock.state_dict())
    state.update({n: v for n, v in as_stock(model.state_dict()).items() if n in state})
    for name in network.bank.lego_names:
        route = routes[network.groups[name]]
        units = network.bank.units(name)
        mixed = zip(route.units, route.weights, strict=True)
        state[name] = sum(units[unit] * weight for unit, weight in mixed).detach()
    stock.load_state_dict(state)
    loss_of(model, batches()["cls"]).backward()
    loss_of(stock, batches()["cls"]).backward()
    for name in network.bank.lego_names:
        whole = stock.get_parameter(name).grad
        route = routes[network.groups[name]]
        for index, unit in enumerate(network.bank.units(name)):
            if index not in route.units:
                assert unit.grad is None
                continue
            weight = route.values[route.units.index(index)]
            torch.testing.assert_close(unit.grad, weight * whole, rtol=1e-4, atol=1e-6)
    assert network.router.logits["task"].grad.abs().max() > 0


def test_evaluation_sees_every_change_of_the_units() -> None:
    model = build("cls", TOP2).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(images)[0]
        assert torch.equal(model(images)[0], before)
        unit = model.backbone.network.draw("task").routes["backbone.conv1"].units[0]
        model.backbone.network.bank.units("backbone.conv1.weight")[unit].mul_(2)
        assert not torch.equal(model(images)[0], before)


def test_state_and_copies_hold_no_laid_weights() -> None:
    model = build("cls", TOP2)
    names = list(model.state_dict())
    loss_of(model, batches()["cls"])
    assert list(model.state_dict()) == names
    copied = deepcopy(model)
    average = ExponentialMovingAverage(model)
    average.update_parameters(model)
    for other in (copied, average.module):
        before = loss_of(other, batches()["cls"])
        torch.testing.assert_close(before, loss_of(model, batches()["cls"]))
    # A copy has parameters of its own.
    loss_of(copied, batches()["cls"]).backward()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_weights_of_a_pass_are_gone_after_the_next() -> None:
    model = build("cls", TOP2)
    loss_of(model, batches()["cls"]).backward()
    first = model.backbone.skeleton.conv1.weight
    loss_of(model, batches()["cls"]).backward()
    assert model.backbone.skeleton.conv1.weight is not first
    model.eval()
    assert model.backbone.skeleton.conv1.weight.is_meta


def test_frozen_stages_stay_as_they_are() -> None:
    cfg = config("cls", TOP2, 4)
    cfg.backbone.skeleton.update(frozen_stages=1, norm_eval=True)
    model = MODELS.build(cfg)
    model.init_weights()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(2):  # Stock code freezes anew when it is set to training.
        model.train()
        optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        model.train_step(batches(step)["cls"], optim)
    for name, value in model.state_dict().items():
        frozen = any(part in name for part in ("conv1.units", "layer1.")) and (
            name.startswith("backbone.network.bank.lego.backbone.layer1")
            or "backbone.conv1" in name
        )
        if frozen or "running" in name:
            assert torch.equal(value, before[name]), name
    unit = "backbone.network.bank.lego.backbone.layer4.0.conv1.units.{}.weight"
    names = [unit.format(index) for index in range(4)]
    after = model.state_dict()
    moved = [not torch.equal(after[name], before[name]) for name in names]
    assert any(moved)


def test_routes_that_freeze_among_accumulated_iterations_stay() -> None:
    """The gradient of the iteration before is not applied either."""
    model = build("cls", dict(TOP2, freeze_at=1), init=PARTED)
    network = model.backbone.network
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optim = OptimWrapper(optimizer, accumulative_counts=2)
    before = deepcopy(dict(network.named_parameters()))
    for step in range(2):
        network.set_step(step)
        model.train_step(batches(step)["cls"], optim)
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert "router.logits.task" not in moved


def test_init_cfg_loads_a_model_with_the_same_backbone(tmp_path: Path) -> None:
    trained = build("cls", TOP2, init=PARTED)
    path = tmp_path / "trained.pth"
    torch.save(dict(state_dict=trained.state_dict()), path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path), prefix="backbone.")
    cfg = config("cls", TOP2, 4, init_cfg=init_cfg)
    model = MODELS.build(cfg)
    model.init_weights()
    found = model.backbone.state_dict()
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(found[name], value), name


STOCK_FILE = [("", None), ("backbone.", "backbone."), ("backbone.", "backbone")]


@pytest.mark.parametrize(("start", "prefix"), [*STOCK_FILE, ("backbone.", "neck.")])
def test_init_cfg_refuses_a_file_of_which_nothing_fits(
    tmp_path: Path, start: str, prefix: str | None
) -> None:
    """A stock backbone's, bare or in a whole model, or a prefix that is not there."""
    path, state = tmp_path / "stock.pth", build_stock("cls").backbone.state_dict()
    torch.save({f"{start}{name}": value for name, value in state.items()}, path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path), prefix=prefix)
    model = MODELS.build(config("cls", TOP2, 4, init_cfg=init_cfg))
    named = rf"`backbone\.init_cfg` .*stock\.pth.*'{start}conv1\.weight'.*skeleton"
    with pytest.raises(ValueError, match=named):
        model.init_weights()


def test_a_stock_file_starts_all_units_where_the_refusal_says(tmp_path: Path) -> None:
    path, stock = tmp_path / "stock.pth", build_stock("cls")
    torch.save(dict(state_dict=stock.state_dict()), path)
    at_init = config("cls", TOP2, 4, init=dict(checkpoint=str(path), perturbation=0))
    at_skeleton = config("cls", TOP2, 4, init=dict(perturbation=0))
    at_skeleton.backbone.skeleton.init_cfg = dict(
        type="Pretrained", checkpoint=str(path), prefix="backbone."
    )
    for cfg in (at_init, at_skeleton):
        model = MODELS.build(cfg)
        model.init_weights()
        bank = model.backbone.network.bank
        for name in bank.lego_names:
            expected = stock.get_parameter(name)
            assert all(torch.equal(unit, expected) for unit in bank.units(name)), name


def test_init_cfg_without_the_prefix_of_a_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "trained.pth"
    torch.save(dict(state_dict=build("cls", TOP2).state_dict()), path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path))
    model = MODELS.build(config("cls", TOP2, 4, init_cfg=init_cfg))
    with pytest.raises(ValueError, match=r"set prefix='backbone\.'"):
        model.init_weights()


@pytest.mark.parametrize("prefix", [None, "network.", "backbone."])
def test_init_cfg_refuses_a_multi_task_run_and_names_transfer(
    tmp_path: Path, prefix: str | None
) -> None:
    """Without a prefix its units have the same names, and nothing else has."""
    path = tmp_path / "gppf.pth"
    torch.save(dict(state_dict=build_gppf(TOP2).state_dict()), path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path), prefix=prefix)
    model = MODELS.build(config("cls", TOP2, 4, init_cfg=init_cfg))
    named = (
        r"`backbone\.init_cfg` .*'det', 'seg', 'cls'.*transfer`, as dict\(.*gppf\.pth"
    )
    with pytest.raises(ValueError, match=named):
        model.init_weights()
    transfer = dict(checkpoint=str(path), route="det")
    MODELS.build(config("cls", TOP2, 4, transfer=transfer)).init_weights()


def test_init_cfg_names_a_missing_file() -> None:
    init_cfg = dict(type="Pretrained", checkpoint="gone.pth")
    model = MODELS.build(config("cls", TOP2, 4, init_cfg=init_cfg))
    missing = r"`backbone\.init_cfg\.checkpoint` is 'gone\.pth'"
    with pytest.raises(FileNotFoundError, match=missing):
        model.init_weights()


KAIMING = dict(type="Kaiming", layer="Conv2d")


@pytest.mark.parametrize("init_cfg", [KAIMING, [KAIMING], dict(type="Pretrained")])
def test_init_cfg_of_another_type(init_cfg: object) -> None:
    cfg = config("cls", TOP2, 4, init_cfg=init_cfg)
    with pytest.raises(ValueError, match=r"backbone.skeleton.init_cfg"):
        MODELS.build(cfg)


def test_pretrained_of_a_segmentor_is_refused_with_the_remedy() -> None:
    """mmseg hands `model.pretrained` on to the backbone."""
    file = "open-mmlab://resnet50_v1c"
    named = rf"model\.pretrained=None.*`backbone\.skeleton\.init_cfg`.*{file}"
    with pytest.raises(ValueError, match=named):
        MODELS.build(ConfigDict(config("seg", TOP2, 4), pretrained=file))
    MODELS.build(ConfigDict(config("seg", TOP2, 4), pretrained=None))


class _Images(Dataset):
    """Eight labelled images."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        batch = batches(index)["cls"]
        return dict(inputs=batch["inputs"][0], data_samples=batch["data_samples"][0])


GUMBEL = dict(type="gppf_mm.GumbelTopKRouter", k=2, anneal_iters=6)


def run(
    folder: Path,
    max_iters: int,
    resume: bool = False,
    router: dict = GUMBEL,
    transfer: dict | None = None,
) -> nn.Module:
    """Train with MMEngine's own runner."""
    cfg = config("cls", router, 4, init=PARTED, transfer=transfer)
    runner = Runner(
        model=cfg,
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=4,
            dataset=_Images(),
            sampler=dict(type="InfiniteSampler", shuffle=True),
            collate_fn=dict(type="pseudo_collate"),
        ),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False),
            logger=dict(type="LoggerHook", interval=100),
        ),
        randomness=dict(seed=0),
        resume=resume,
        default_scope="mmpretrain",
        experiment_name=f"{folder.name}_{max_iters}",
    )
    try:
        return runner.train()
    finally:
        # Other tests build by the names of another library.
        DefaultScope._instance_dict.pop(runner.experiment_name)


def test_a_stock_run_resumes_bit_by_bit(tmp_path: Path) -> None:
    """The noise of the routes follows the iteration, also after a resume."""
    whole = run(tmp_path / "whole", 4)
    assert whole.backbone.network.iteration == 3
    run(tmp_path / "parted", 2)
    resumed = run(tmp_path / "parted", 4, resume=True)
    found = resumed.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(found[name], value), name


def test_a_stock_run_resumes_without_the_source_of_its_transfer(tmp_path: Path) -> None:
    """With `transfer` removed, where nothing is frozen and no schedule moves."""
    source = tmp_path / "gppf.pth"
    torch.save(
        dict(state_dict=build_gppf(TOP2, lego=dict(init=PARTED)).state_dict()), source
    )
    transfer = dict(checkpoint=str(source), route="cls")
    whole = run(tmp_path / "whole", 4, router=TOP2, transfer=transfer).state_dict()
    run(tmp_path / "parted", 2, router=TOP2, transfer=transfer)
    source.unlink()
    with pytest.raises(FileNotFoundError, match=r"backbone\.transfer\.checkpoint"):
        run(tmp_path / "parted", 3, resume=True, router=TOP2, transfer=transfer)
    found = run(tmp_path / "parted", 4, resume=True, router=TOP2).state_dict()
    assert whole.keys() - found.keys() == {
        f"backbone.network.origins.{name}" for name in ("steps", "moves")
    }
    for name, value in found.items():
        assert torch.equal(value, whole[name]), name


def _train_on_rank(rank: int) -> dict[str, Tensor]:
    assert is_distributed()
    torch.manual_seed(0)
    model = build("cls", TOP2, init=PARTED)
    wrapped = MMDistributedDataParallel(
        model, find_unused_parameters=True, broadcast_buffers=False
    )
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(2):
        wrapped.train_step(batches(2 * step + rank)["cls"], optim)
    return {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.slow
def test_stock_data_parallel_averages_units_and_routes(tmp_path: Path) -> None:
    first, second = on_ranks(_train_on_rank, tmp_path)
    torch.manual_seed(0)
    model = build("cls", TOP2, init=PARTED)
    copies = [model, deepcopy(model)]
    optim = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optim.zero_grad()
        copies[1].load_state_dict(model.state_dict())
        copies[1].zero_grad()
        for rank, part in enumerate(copies):
            loss_of(part, batches(2 * step + rank)["cls"]).backward()
        for own, other in zip(model.parameters(), copies[1].parameters(), strict=True):
            if own.grad is not None:
                own.grad = (own.grad + other.grad) / 2
        optim.step()
    for name, value in model.named_parameters():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value.detach(), rtol=1e-4, atol=1e-6)


def test_a_wrong_transfer_is_named() -> None:
    wrong = partial(config, "cls", TOP2, 4)
    with pytest.raises(ValueError, match=r"backbone.transfer.checkpoint` is missing"):
        MODELS.build(wrong(transfer=dict(route="cls")))
    with pytest.raises(ValueError, match=r"unknown key 'rout'.*'route'"):
        MODELS.build(wrong(transfer=dict(checkpoint="x.pth", rout="cls")))
    assert LegoBackbone.__name__ in MODELS.module_dict


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            dict(router=dict(TOP2, k=9)),
            r"^`backbone\.router\.k` .*`backbone\.num_units`",
        ),
        (dict(router=dict(TOP2, kk=1)), r"^`backbone\.router` has an unknown key"),
        (dict(router=dict(TOP2, group="all")), r"^`backbone\.router\.group` is 'all'"),
        (dict(router=dict(TOP2, freeze_at=-1)), r"^`backbone\.router\.freeze_at`"),
        (dict(router="top2"), r"^`backbone\.router` is 'top2'"),
        (dict(num_units=0), r"^`backbone\.num_units` is 0"),
        (dict(placement=[("*.conv9.*", "lego")]), r"^`backbone\.placement` has"),
        (dict(norm="units"), r"^`backbone\.norm` is 'units'"),
        (dict(init=dict(units="same")), r"^`backbone\.init\.units` is 'same'"),
        (dict(init=dict(checkpoint=["no.pth"])), r"^`backbone\.init\.checkpoint\[0\]`"),
    ],
)
def test_a_wrong_option_is_named_by_its_key_in_a_stock_config(
    options: dict, named: str
) -> None:
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=named):
        build("cls", **dict(dict(router=TOP2, num_units=4), **options))


def test_names_of_parameters_and_files_are_no_keys_of_a_config() -> None:
    text = "'bank.lego.router.x', 'runs/lego.init' and `lego.k` for `lego.init`"
    with pytest.raises(ValueError, match="backbone") as error, lego_keys_at("backbone"):
        raise ValueError(text, 3)
    assert error.value.args == (text.replace("`lego.init", "`backbone.init"), 3)


def test_the_rest_is_compiled_around_it():
    """MMEngine's ``compile`` of a plain config takes the whole step."""
    plain, compiled = (build("cls", TOP2) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    inputs = torch.rand(2, 3, 32, 32)
    expected = plain.train().backbone(inputs)
    found = torch.compile(compiled.train().backbone, backend="eager")(inputs)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)
