"""New tasks over a trained bank."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.models import GPPF
from gppf_mm.models.transfer import taking
from gppf_mm.registry import MODELS
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    loss_of,
    predictions,
    task_configs,
)

GUMBEL = dict(type="gppf_mm.GumbelTopKRouter", k=2, anneal_iters=10, init_std=1.0)
PARTED = dict(init=dict(perturbation=0.5))
FROZEN = dict(shop=dict(route="cls"))


def train(model: nn.Module, data: list[dict], first: int = 0) -> None:
    model.train()
    optim = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.01))
    for step, batch in enumerate(data, first):
        model.network.set_step(step)
        model.train_step(batch, optim)


@pytest.fixture(scope="module")
def trained() -> GPPF:
    """Return a GPPF over three tasks, in the midst of its schedule."""
    torch.manual_seed(0)
    model = build_gppf(GUMBEL, lego=PARTED)
    train(model, [batches(0), batches(1)], first=4)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(trained: GPPF, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("transfer") / "trained.pth"
    torch.save(dict(state_dict=trained.state_dict(), meta={}), path)
    return str(path)


def transferred(
    checkpoint: str,
    old: tuple[str, ...] = TASKS,
    router: dict = GUMBEL,
    weighting: dict | None = None,
    **settings: Any,
) -> GPPF:
    """Build a model with the new task `shop`, a classifier."""
    cfgs = task_configs()
    tasks = {task: cfgs[task] for task in old} | dict(shop=cfgs["cls"])
    transfer = dict(checkpoint=checkpoint, **settings)
    torch.manual_seed(1)
    lego = PARTED | dict(transfer=transfer)
    return build_gppf(router, tasks=tasks, lego=lego, weighting=weighting)


def found_by(model: GPPF, task: str, as_task: str | None = None) -> dict[str, Tensor]:
    batch = batches(7)[as_task or task]
    with torch.no_grad():
        return predictions(as_task or task, model.predict(task, batch))


def shop_batches(number: int) -> list[dict]:
    return [dict(shop=batches(seed)["cls"]) for seed in range(10, 10 + number)]


def features(model: GPPF, task: str) -> Tensor:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), model.eval().activate(task) as stock:
        return stock.backbone(images)[-1]


@pytest.mark.parametrize("settings", [{}, dict(freeze="units")])
def test_old_tasks_predict_what_they_did(
    trained: GPPF, checkpoint: str, settings: dict
) -> None:
    model = transferred(checkpoint, new=FROZEN, **settings).eval()
    for task in TASKS:
        expected = found_by(trained, task)
        for name, value in found_by(model, task).items():
            assert torch.equal(value, expected[name]), (task, name)


def test_a_copied_route_gives_the_same_features(trained: GPPF, checkpoint: str) -> None:
    model = transferred(checkpoint, new=FROZEN)
    assert torch.equal(features(model, "shop"), features(trained, "cls"))
    learned = transferred(checkpoint, new=dict(shop=dict(norms="cls")))
    assert not torch.equal(features(learned, "shop"), features(trained, "cls"))


def test_learning_a_route_leaves_units_and_old_tasks_as_they_are(
    trained: GPPF, checkpoint: str
) -> None:
    new = dict(shop=dict(norms="cls"))
    model = transferred(checkpoint, new=new, freeze="units")
    assert model.trained_tasks == ("shop",)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, shop_batches(3))
    changed = {
        name
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    own = ("tasks.shop.", "network.router.logits.shop", "network.step")
    assert not {name for name in changed if not name.startswith(own)}
    assert "network.router.logits.shop" in changed
    assert "tasks.shop.head.fc.weight" in changed
    assert "tasks.shop.backbone.bn1.weight" in changed
    model.eval()
    for task in TASKS:
        expected = found_by(trained, task)
        for name, value in found_by(model, task).items():
            assert torch.equal(value, expected[name]), (task, name)


def test_frozen_parts_are_none_of_the_active_parameters(checkpoint: str) -> None:
    model = transferred(checkpoint, new=FROZEN, freeze="units")
    active = model.network.active_parameters("shop")
    assert [id(item) for item in active] == [id(model.network.router.logits["shop"])]
    assert model.network.active_parameters("det") == []
    whole = transferred(checkpoint, new=FROZEN)
    assert len(whole.network.active_parameters("shop")) > 40


def test_a_weighting_leaves_kept_tasks_out(checkpoint: str) -> None:
    """They have no loss, and would take their share of the weights."""
    model = transferred(
        checkpoint, new=FROZEN, freeze="units", weighting=dict(type="Mean")
    )
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    assert model.train_step(shop_batches(1)[0], optim)["shop/weight"] == 1


def test_frozen_routes_and_norms(checkpoint: str) -> None:
    freeze = ("units", "routes", "norms")
    model = transferred(checkpoint, new=FROZEN, freeze=freeze)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, shop_batches(2))
    for name, value in model.state_dict().items():
        moves = name.startswith(("tasks.shop.head", "network.step"))
        assert moves != torch.equal(value, before[name]), name


def test_frozen_routes_are_those_of_an_evaluation(checkpoint: str) -> None:
    """In a schedule that has noise left, and a temperature that falls."""
    model = transferred(checkpoint, new=FROZEN, freeze=("units", "routes"))
    network = model.network
    network.set_step(0)
    expected = network.eval().draw("shop")
    for step in (0, 1, 4):
        network.train().set_step(step)
        plan = network.draw("shop")
        assert plan.units() == expected.units()
        for group, route in plan.routes.items():
            assert route.values == expected.routes[group].values
    moving = transferred(checkpoint, new=FROZEN, freeze="units").network
    moving.set_step(1)
    assert moving.train().draw("shop").units() != expected.units()


def test_routes_that_will_not_be_learned_are_told(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(taking, "print_log", lambda text, **_: said.append(text))

    def told(freeze_at: int | None, **settings: Any) -> str:
        said.clear()
        router = dict(type="gppf_mm.TopKRouter", k=2, freeze_at=freeze_at)
        transferred(checkpoint, router=router, **settings)
        return " ".join(said)

    # The run's schedule stands at step 5.
    assert "past `freeze_at`" in told(5, new=FROZEN)
    assert not told(6, new=FROZEN)
    assert not told(5, new=FROZEN, freeze="routes")
    assert "by chance" in told(None, new=dict(shop=None), freeze=("units", "routes"))


def test_without_frozen_units_all_tasks_go_on(checkpoint: str) -> None:
    model = transferred(checkpoint, new=FROZEN)
    assert model.trained_tasks == (*TASKS, "shop")
    before = {name: value.clone() for name, value in model.named_parameters()}
    train(model, [batches(5) | shop_batches(1)[0]])
    changed = {n for n, v in model.named_parameters() if not torch.equal(v, before[n])}
    for prefix in ("network.bank", "tasks.det", "tasks.shop", "network.router"):
        assert any(name.startswith(prefix) for name in changed), prefix
    # The old tasks' schedule goes on from step 5, as does the route that is a copy.
    model.network.set_step(3)
    origins = model.network.origins
    assert [origins.position(task, 3) for task in ("det", "shop")] == [8, 8]


def test_a_task_that_the_config_lacks_is_left_out(
    trained: GPPF, checkpoint: str
) -> None:
    model = transferred(checkpoint, old=("seg",), new=FROZEN).eval()
    assert model.task_names == ("seg", "shop")
    for name, value in found_by(model, "seg").items():
        assert torch.equal(value, found_by(trained, "seg")[name]), name


def test_transfers_follow_each_other(
    trained: GPPF, checkpoint: str, tmp_path: Path
) -> None:
    first = transferred(checkpoint, new=FROZEN, freeze="units")
    train(first, shop_batches(1), first=2)
    path = str(tmp_path / "first.pth")
    torch.save(dict(state_dict=first.state_dict(), meta={}), path)
    second = transferred(path).eval()
    # A task that was kept stands where it stood, one that was trained has moved.
    assert second.network.origins.steps.tolist() == [5, 5, 5, 7]
    for task, as_task in (("det", None), ("shop", "cls")):
        expected = found_by(first.eval(), task, as_task)
        for name, value in found_by(second, task, as_task).items():
            assert torch.equal(value, expected[name]), (task, name)


def test_a_resumed_model_draws_the_same_plans(checkpoint: str) -> None:
    model = transferred(checkpoint, new=FROZEN)
    train(model, shop_batches(1), first=3)
    again = transferred(checkpoint, new=FROZEN)
    again.network.origins.set("shop", 0)
    again.load_state_dict(model.state_dict())
    assert torch.equal(features(again, "shop"), features(model, "shop"))


@pytest.mark.parametrize("task", TASKS)
def test_a_lego_backbone_has_the_features_of_the_task(
    trained: GPPF, checkpoint: str, task: str
) -> None:
    cfg = task_configs()[task]
    cfg["backbone"] = dict(
        type="gppf_mm.LegoBackbone",
        skeleton=cfg["backbone"],
        num_units=4,
        router=GUMBEL,
        transfer=dict(checkpoint=checkpoint, route=task, freeze="units"),
    )
    model = MODELS.build(ConfigDict(cfg))
    model.init_weights()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = model.eval().backbone(images)[-1]
    assert torch.equal(found, features(trained, task))
    model.train()
    loss_of(model, batches()[task]).backward()
    bank = model.backbone.network.bank
    assert all(parameter.grad is None for parameter in bank.parameters())
    assert model.backbone.network.router.logits["task"].grad.abs().max() > 0


ABSENT = dict(type="Pretrained", checkpoint="absent.pth")


def test_weights_that_the_transfer_replaces_are_not_read(
    trained: GPPF, checkpoint: str
) -> None:
    """Nor need they be there: by a backbone's `init_cfg`, or mmseg's `pretrained`."""
    cfgs = task_configs()
    tasks = cfgs | {f"new_{task}": cfg for task, cfg in task_configs().items()}
    for task, cfg in tasks.items():
        if task.endswith("seg"):
            cfg["pretrained"] = "absent.pth"
        else:
            cfg["backbone"]["init_cfg"] = ABSENT
    new = {f"new_{task}": dict(route=task) for task in TASKS}
    lego = PARTED | dict(transfer=dict(checkpoint=checkpoint, new=new))
    model = build_gppf(GUMBEL, tasks=tasks, lego=lego)
    for task in TASKS:
        assert torch.equal(features(model, f"new_{task}"), features(trained, task))
    # What the run does not have starts as the recipe says.
    assert model.tasks.new_cls.head.fc.weight.std().item() == pytest.approx(
        0.01, rel=0.2
    )
    assert not model.tasks.new_cls.head.fc.bias.any()
    assert torch.equal(model.tasks.cls.head.fc.weight, trained.tasks.cls.head.fc.weight)


def recipe_file(folder: Path) -> tuple[str, dict[str, Tensor]]:
    path = folder / "recipe.pth"
    state = build_stock("cls").backbone.state_dict()
    state = {
        k: torch.rand_like(v) if "bn" in k and "num" not in k else v
        for k, v in state.items()
    }
    torch.save(state, path)
    return str(path), state


def test_private_values_that_the_run_does_not_give_are_the_recipes(
    trained: GPPF, checkpoint: str, tmp_path: Path
) -> None:
    path, state = recipe_file(tmp_path)
    tasks = task_configs() | dict(shop=task_configs()["cls"])
    for cfg in tasks.values():
        cfg["backbone"]["init_cfg"] = ABSENT
    tasks["shop"]["backbone"]["init_cfg"] = dict(ABSENT, checkpoint=path)
    new = dict(shop=dict(route="cls", norms=None))
    lego = PARTED | dict(transfer=dict(checkpoint=checkpoint, new=new))
    model = build_gppf(GUMBEL, tasks=tasks, lego=lego)
    for name in ("bn1.weight", "layer3.0.bn2.running_var"):
        own = model.tasks.shop.backbone.state_dict()[name]
        assert torch.equal(own, state[name]), name
    for name, value in trained.network.bank.state_dict().items():
        assert torch.equal(model.network.bank.state_dict()[name], value), name


@pytest.mark.parametrize("norms", ["cls", None])
def test_a_lego_backbone_reads_its_skeletons_file_for_norms_alone(
    trained: GPPF, checkpoint: str, tmp_path: Path, norms: str | None
) -> None:
    path, state = recipe_file(tmp_path)
    cfg = task_configs()["cls"]
    init_cfg = ABSENT if norms else dict(ABSENT, checkpoint=path)
    backbone = MODELS.build(
        dict(
            type="gppf_mm.LegoBackbone",
            skeleton=dict(cfg["backbone"], _scope_="mmpretrain", init_cfg=init_cfg),
            num_units=4,
            router=GUMBEL,
            transfer=dict(checkpoint=checkpoint, route="cls", norms=norms),
        )
    )
    backbone.init_weights()
    expected = trained.tasks.cls.backbone.state_dict() if norms else state
    own = backbone.skeleton.state_dict()
    assert "layer3.0.bn2.running_var" in own
    assert all(torch.equal(value, expected[name]) for name, value in own.items())
    for name, value in trained.network.bank.state_dict().items():
        assert torch.equal(backbone.network.bank.state_dict()[name], value), name


SOFT = dict(type="gppf_mm.SoftRouter", init_std=1.0)


@pytest.mark.parametrize("neck_units", [2, 6])
@pytest.mark.parametrize("router", [GUMBEL, SOFT], ids=["gumbel", "soft"])
def test_a_backbone_leaves_a_neck_of_more_units_behind(
    tmp_path: Path, neck_units: int, router: dict
) -> None:
    torch.manual_seed(0)
    units, share = [("neck.*", neck_units), ("*", 4)], ("backbone", "neck")
    run = build_gppf(router, num_units=units, lego=PARTED, share=share)
    train(run, [batches(0)])
    path = str(tmp_path / "run.pth")
    torch.save(dict(state_dict=run.state_dict(), meta={}), path)
    new = transferred(path, old=(), router=router, new=dict(shop=dict(route="det")))
    assert torch.equal(features(new, "shop"), features(run, "det"))
    backbone = dict(type="gppf_mm.LegoBackbone", num_units=4, router=router)
    backbone.update(transfer=dict(checkpoint=path, route="cls"))
    cfg = task_configs()["cls"]
    stock = MODELS.build(
        ConfigDict(cfg, backbone=backbone | {"skeleton": cfg["backbone"]})
    )
    stock.init_weights()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(stock.eval().backbone(images)[-1], features(run, "cls"))


def refusal(checkpoint: str, **settings: Any) -> str:
    with pytest.raises((TypeError, ValueError, FileNotFoundError)) as error:
        transferred(checkpoint, **settings)
    return str(error.value)


def test_refusals_name_key_and_remedy(checkpoint: str, tmp_path: Path) -> None:
    assert "no such checkpoint" in refusal("nowhere.pth", new=FROZEN)
    message = refusal(checkpoint)
    assert "'shop'" in message
    assert "`model.lego.transfer.new`=dict(shop=" in message
    message = refusal(checkpoint, new=dict(shop=dict(route="clz")))
    assert "names the task 'clz'" in message
    assert "'cls'" in message
    message = refusal(checkpoint, new=dict(sohp=None))
    assert "Did you mean 'shop'" in message
    for entries in (["shop"], "shop", dict(shop="cls")):
        assert "expected" in refusal(checkpoint, new=entries)
    message = refusal(checkpoint, new=FROZEN, freeze=True)
    assert "transfer.freeze` is True; expected a list" in message
    with pytest.raises(TypeError, match=r"transfer` is 'x\.pth'.*dict\(checkpoint="):
        build_gppf(GUMBEL, lego=dict(transfer="x.pth"))
    message = refusal(checkpoint, new={}, freeze="units")
    assert "nothing would be trained" in message
    routes = {task: [0] for task in (*TASKS, "shop")}
    router = dict(type="gppf_mm.FixedRouter", routes=routes)
    message = refusal(checkpoint, new=FROZEN, router=router)
    assert "FixedRouter learns no routes" in message
    for group in ("layer", "stage"):
        other = dict(GUMBEL, group=group)
        assert "expected shape" in refusal(checkpoint, new=FROZEN, router=other)
    stock = tmp_path / "stock.pth"
    torch.save(dict(state_dict={"backbone.conv1.weight": torch.zeros(1)}), stock)
    assert "no lego bank" in refusal(str(stock), new=FROZEN)


@pytest.mark.parametrize("norm", ["shared", "unit"])
def test_statistics_that_tasks_share_stand_still_with_the_units(
    tmp_path: Path, norm: str
) -> None:
    torch.manual_seed(0)
    trained = build_gppf(GUMBEL, lego=PARTED | dict(norm=norm))
    train(trained, [batches(0), batches(1)])
    path = str(tmp_path / "trained.pth")
    torch.save(dict(state_dict=trained.state_dict(), meta={}), path)
    cfgs = task_configs()
    transfer = dict(checkpoint=path, new=FROZEN, freeze="units")
    lego = PARTED | dict(norm=norm, transfer=transfer)
    model = build_gppf(GUMBEL, tasks=cfgs | dict(shop=cfgs["cls"]), lego=lego)
    train(model, shop_batches(2))
    state = model.state_dict()
    for name, value in trained.state_dict().items():
        assert name == "network.step" or torch.equal(state[name], value), name
    for task in TASKS:
        expected = found_by(trained.eval(), task)
        for name, value in found_by(model.eval(), task).items():
            assert torch.equal(value, expected[name]), (task, name)
