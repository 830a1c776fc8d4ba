"""Sharing, laying in, caching and freezing, on small stock networks."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import Tensor, nn

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF, LegoNetwork
from gppf_mm.registry import MODELS
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    loss_of,
    task_configs,
)
from tests.stock_backbones import BACKBONES

TOP2 = dict(type="TopKRouter", k=2, group="block", init_std=1.0)
GUMBEL = dict(type="GumbelTopKRouter", k=2, anneal_iters=10)


@pytest.fixture
def model() -> GPPF:
    return build_gppf(TOP2, lego=dict(init=dict(perturbation=0.5)))


def test_every_convolution_of_a_resnet50_has_four_units() -> None:
    backbone = MODELS.build(dict(type="mmdet.ResNet", depth=50, base_channels=8))
    shapes = {
        f"backbone.{name}.weight": module.weight.shape
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    assert len(shapes) == 53
    network = LegoNetwork({"det": {"backbone": backbone}}, 4, dict(type="SoftRouter"))
    bank = network.bank
    assert set(bank.lego_names) == set(shapes)
    for name, shape in shapes.items():
        assert [unit.shape for unit in bank.units(name)] == [shape] * 4
    left = {name for name, _ in backbone.named_parameters()}
    assert left
    assert all("bn" in name or "downsample.1" in name for name in left)


@pytest.mark.parametrize("family", BACKBONES)
def test_any_stock_backbone_runs_and_trains_its_active_units(family: str) -> None:
    parts = {task: {"backbone": BACKBONES[family]()} for task in ("a", "b")}
    network = LegoNetwork(parts, 3, dict(TOP2, k=1)).train()
    plan = network.draw("a")
    with network.activate("a", plan):
        outputs = parts["a"]["backbone"](torch.randn(2, 3, 32, 32))
        sum(output.square().sum() for output in outputs).backward()
    reached = {
        name: [unit.grad is not None for unit in network.bank.units(name)]
        for name in network.bank.lego_names
    }
    for name, units in reached.items():
        (active,) = plan.units()[network.groups[name]]
        assert not any(reach for index, reach in enumerate(units) if index != active)
    # HRNet's last branches and a norm's layer may lead to no output.
    assert sum(map(any, reached.values())) > 0.9 * len(reached)


def naive_state(model: GPPF, task: str) -> dict[str, Tensor]:
    """Assemble a stock model's state by hand."""
    network = model.network
    plan = network.draw(task)
    state = dict(model.tasks[task].state_dict())
    for name in network.bank.lego_names:
        route = plan.routes[network.groups[name]]
        units = network.bank.units(name)
        state[name] = sum(
            units[unit] * weight
            for unit, weight in zip(route.units, route.weights, strict=True)
        ).detach()
    return state


def features(model: GPPF, task: str, images: Tensor) -> Tensor:
    with torch.no_grad(), model.activate(task) as stock:
        return stock.extract_feat(images)[-1]


@pytest.mark.parametrize("task", TASKS)
def test_activated_model_is_the_stock_model_with_mixed_weights(
    model: GPPF, task: str
) -> None:
    model.eval()
    stock = build_stock(task)
    stock.load_state_dict(naive_state(model, task))
    stock.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = stock.extract_feat(images)[-1]
    assert torch.equal(features(model, task, images), expected)


def test_weights_are_gone_outside(model: GPPF) -> None:
    names = set(model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with model.activate("seg") as stock:
        stock.backbone(images)
        assert set(model.state_dict()) == names
        with pytest.raises(RuntimeError, match="without its weights"):
            model.tasks.cls.backbone(images)
    with pytest.raises(RuntimeError, match="without its weights"):
        stock.backbone(images)
    with pytest.raises(ZeroDivisionError), model.activate("seg"):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="without its weights"):
        stock.backbone(images)


def test_backward_of_checkpointed_blocks_belongs_inside() -> None:
    model = build_gppf(TOP2, tasks=task_configs(with_cp=True))
    with model.activate("cls") as stock:
        loss = loss_of(stock, batches()["cls"])
    with pytest.raises(RuntimeError, match=r"checkpointed block.*activate"):
        loss.backward()


def test_state_holds_units_and_no_assembled_weight(model: GPPF) -> None:
    convolutions = {
        name
        for name in naive_state(model, "det")
        if name not in model.tasks.det.state_dict()
    }
    names = set(model.state_dict())
    for name in convolutions:
        path, _, leaf = name.rpartition(".")
        assert not any(f"tasks.{task}.{name}" in names for task in TASKS)
        units = {f"network.bank.lego.{path}.units.{unit}.{leaf}" for unit in range(4)}
        assert units <= names
    parameters = [name for name, _ in model.named_parameters()]
    assert len(parameters) == len(set(parameters))


def test_checkpoint_restores_predictions_and_step(model: GPPF) -> None:
    model = build_gppf(GUMBEL, lego=dict(init=dict(perturbation=0.5)))
    model.network.set_step(7)
    torch.manual_seed(1)
    other = build_gppf(GUMBEL, lego=dict(init=dict(perturbation=0.5)))
    images = torch.randn(2, 3, 64, 64)
    for task in TASKS:
        drawn = model.network.draw(task).units()
        assert drawn != other.network.draw(task).units()
        assert not torch.equal(
            features(model.eval(), task, images), features(other.eval(), task, images)
        )
        model.train(), other.train()
    other.load_state_dict(model.state_dict())
    assert other.network.step.item() == 7
    for task in TASKS:
        drawn = model.network.draw(task).units()
        assert drawn == other.network.draw(task).units()
    model.eval(), other.eval()
    for task in TASKS:
        assert torch.equal(features(model, task, images), features(other, task, images))


def test_copy_is_whole_and_apart(model: GPPF) -> None:
    images = torch.randn(2, 3, 64, 64)
    model.eval()
    before = features(model, "cls", images)
    copied = deepcopy(model)
    assert torch.equal(features(copied, "cls", images), before)
    with torch.no_grad():
        for parameter in copied.network.bank.parameters():
            parameter.mul_(-1)
    assert not torch.equal(features(copied, "cls", images), before)
    assert torch.equal(features(model, "cls", images), before)
    originals = {id(parameter) for parameter in model.parameters()}
    assert all(id(parameter) not in originals for parameter in copied.parameters())


@torch.no_grad()
def test_evaluation_keeps_assembled_weights(model: GPPF) -> None:
    model.eval()
    first = model.network.weights("det")
    again = model.network.weights("det")
    assert all(again[name] is first[name] for name in first)
    # In training, and where gradients are asked for, they are made anew.
    with torch.enable_grad():
        assert model.network.weights("det")["backbone.conv1.weight"].requires_grad
    model.train()
    fresh = model.network.weights("det")
    assert all(fresh[name] is not first[name] for name in first)


def optimizer_step(model: GPPF) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def load_other_state(model: GPPF) -> None:
    state = model.state_dict()
    model.load_state_dict(
        {
            name: value + 0.1 if value.is_floating_point() else value
            for name, value in state.items()
        }
    )


def swap_data_as_ema_does(model: GPPF) -> None:
    # MMEngine's EMAHook exchanges `.data`, which leaves no trace, before `eval`.
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data + 0.1)
    model.eval()


def change_routes(model: GPPF) -> None:
    with torch.no_grad():
        for logits in model.network.router.logits.values():
            logits.neg_()


@pytest.mark.parametrize(
    "change",
    [optimizer_step, load_other_state, swap_data_as_ema_does, change_routes],
)
def test_kept_weights_are_renewed(model: GPPF, change) -> None:
    model.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = {task: model.network.weights(task) for task in TASKS}
    change(model)
    with torch.no_grad():
        for task in TASKS:
            kept, expected = model.network.weights(task), naive_state(model, task)
            for name, value in kept.items():
                assert torch.equal(value, expected[name])
                assert not torch.equal(value, before[task][name])
            assert features(model, task, images).isfinite().all()


def test_kept_weights_follow_the_step() -> None:
    router = dict(type="SoftRouter", init_std=1.0, temperature=[(0, 4.0), (9, 0.1)])
    model = build_gppf(router, lego=dict(init=dict(perturbation=0.5))).eval()
    with torch.no_grad():
        for step in (9, 0):
            model.network.set_step(step)
            found, expected = model.network.weights("cls"), naive_state(model, "cls")
            assert all(torch.equal(found[name], expected[name]) for name in found)


def test_kept_weights_follow_the_dtype(model: GPPF) -> None:
    model.eval()
    features(model, "cls", torch.randn(2, 3, 64, 64))
    model.double()
    found = features(model, "cls", torch.randn(2, 3, 64, 64, dtype=torch.float64))
    assert found.dtype == torch.float64


def frozen_detector() -> GPPF:
    """Build a GPPF whose detector's recipe freezes the stem and the first stage."""
    tasks = task_configs()
    tasks["det"]["backbone"]["frozen_stages"] = 1
    return build_gppf(dict(type="SoftRouter"), 2, tasks)


def gradients(model: GPPF, tasks: tuple[str, ...]) -> dict[str, Tensor]:
    model.zero_grad()
    for task in tasks:
        with model.activate(task) as stock:
            loss_of(stock, batches()[task]).backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.network.bank.named_parameters()
        if parameter.grad is not None
    }


def test_frozen_stages_hold_for_their_own_task_alone() -> None:
    model = frozen_detector()
    det = gradients(model, ("det",))
    logits = model.network.router.logits["det"].grad
    seg = gradients(model, ("seg",))
    both = gradients(model, ("det", "seg"))
    frozen = ("lego.backbone.conv1.", "lego.backbone.layer1.")
    assert not [name for name in det if name.startswith(frozen)]
    assert set(seg) == set(both) == set(dict(model.network.bank.named_parameters()))
    for name, gradient in both.items():
        alone = seg[name] + det.get(name, 0)
        torch.testing.assert_close(gradient, alone)
        assert gradient.any()
    # Nor do the routes of the frozen groups learn from it.
    for row, group in zip(logits, model.network.router.groups, strict=True):
        assert row.any() != group.startswith(("backbone.conv1", "backbone.layer1"))


SHAPE = r"'backbone.conv1.weight'.*\(16, 3, 7, 7\).*\(32, 3, 7, 7\)"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(base_channels=32, stem_channels=32), rf"20 parameter.*{SHAPE}.*15 more"),
        (
            dict(depth=34),
            r"16 parameter.*'backbone.layer1.2.conv1.weight': missing.*"
            r"\(16, 16, 3, 3\).*11 more",
        ),
        (dict(depth=10), None),
    ],
    ids=["width", "depth", "agreeing"],
)
def test_tasks_that_cannot_share_are_named(options: dict, named: str | None) -> None:
    tasks = task_configs()
    if named is None:
        assert build_gppf(TOP2, tasks=tasks)
        return
    tasks["seg"]["backbone"].update(options)
    remedies = r"top-level `backbone=`.*lego\.mismatch='private'"
    with pytest.raises(ValueError, match=rf"tasks\.det.*tasks\.seg.*{named}") as error:
        build_gppf(TOP2, tasks=tasks)
    message = str(error.value)
    assert re.search(remedies, message)
    assert message.count("backbone.") == 5
    assert "cls" not in message


def test_a_single_difference_is_told_in_full() -> None:
    tasks = task_configs()
    tasks["cls"]["backbone"].update(in_channels=1)
    shapes = r"\(16, 3, 7, 7\) \(lego\) in 'det', \(16, 1, 7, 7\) \(lego\) in 'cls'\. "
    with pytest.raises(ValueError, match=shapes):
        build_gppf(TOP2, tasks=tasks)


def deeper_segmentor() -> dict[str, dict]:
    """Return configs of tasks over two ResNet-18 and a ResNet-34, one with a D stem."""
    tasks = task_configs()
    # ResNet-34 has what ResNet-18 has, and more blocks in each stage.
    tasks["seg"]["backbone"].update(depth=34)
    tasks["cls"]["backbone"].update(in_channels=1)
    tasks["cls"]["data_preprocessor"].update(mean=[0.0], std=[1.0], to_rgb=False)
    return tasks


def test_what_differs_stays_private_and_the_rest_is_shared() -> None:
    tasks = deeper_segmentor()
    rows: list[str] = []
    with capture_log(rows):
        model = build_gppf(TOP2, tasks=tasks, lego=dict(mismatch="private"))
    told = [row for row in rows if "stay private" in row]
    assert len(told) == 1
    assert "17 parameter(s)" in told[0]
    assert "'backbone.conv1.weight'" in told[0]
    alike = build_gppf(TOP2).network.bank.lego_names
    expected = set(alike) - {"backbone.conv1.weight"}
    assert set(model.network.bank.lego_names) == expected
    for task in TASKS:
        own = dict(model.tasks[task].named_parameters())
        assert "backbone.conv1.weight" in own
        assert ("backbone.layer1.2.conv1.weight" in own) == (task == "seg")
        assert "backbone.layer1.1.conv1.weight" not in own
        assert set(model.network.shared_names(task)) == expected


def test_agreeing_tasks_have_nothing_to_keep_private() -> None:
    rows: list[str] = []
    with capture_log(rows):
        model = build_gppf(TOP2, lego=dict(mismatch="private"))
    assert not [row for row in rows if "private" in row]
    assert set(model.state_dict()) == set(build_gppf(TOP2).state_dict())


def test_tasks_that_agree_in_nothing_are_an_error() -> None:
    tasks = task_configs()
    tasks["seg"] = task_configs(width=8)["seg"]
    with pytest.raises(ValueError, match=r"nothing remains to share.*`backbone=`\.$"):
        build_gppf(TOP2, tasks=tasks, lego=dict(mismatch="private"))
    with pytest.raises(ValueError, match=r"lego\.mismatch` is 'keep'.*'private'"):
        build_gppf(TOP2, lego=dict(mismatch="keep"))


@contextmanager
def capture_log(rows: list[str]) -> Iterator[None]:
    """Collect what goes to MMEngine's current logger."""

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            rows.append(record.getMessage())

    handler, logger = Collect(), MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def test_parameters_that_differ_can_be_made_private() -> None:
    tasks = task_configs()
    tasks["seg"]["backbone"].update(depth=34)
    # ResNet-34 has what ResNet-18 has, and more blocks in each stage.
    more = [
        ("backbone.layer[1-4].[2-5].*", "private"),
        ("backbone.conv1.weight", "private"),
    ]
    model = build_gppf(TOP2, tasks=tasks, lego=dict(placement=more))
    shared = model.network.bank.lego_names
    assert "backbone.layer1.1.conv1.weight" in shared
    assert "backbone.conv1.weight" not in shared
    own = dict(model.tasks.seg.named_parameters())
    assert "backbone.layer1.2.conv1.weight" in own
    assert "backbone.layer1.1.conv1.weight" not in own
    losses = []
    for task in TASKS:
        with model.activate(task) as stock:
            losses.append(loss_of(stock, batches()[task]))
    sum(losses).backward()
    assert own["backbone.layer1.2.conv1.weight"].grad.any()


def test_rule_that_matches_nothing_in_any_task_is_an_error() -> None:
    rules = [("layer1.*", "private")]
    with pytest.raises(ValueError, match=r"lego\.placement.*'layer1\.\*'.*backbone\."):
        build_gppf(TOP2, lego=dict(placement=rules))


def two_detectors_and_others() -> dict[str, dict]:
    """Return two tasks with a pyramid, one with pooling and one without a neck."""
    tasks = task_configs()
    tasks["faces"] = task_configs()["det"]
    return tasks


@pytest.mark.parametrize("where", ["shared", "private"])
@pytest.mark.parametrize("router", [TOP2, dict(type="FixedRouter")])
def test_a_network_in_which_nothing_has_units_is_refused(
    where: str, router: dict
) -> None:
    rules = [("*", where)]
    backbone = BACKBONES["resnet"]()
    with pytest.raises(ValueError, match=rf"lego\.placement.*{where}.*num_units=1"):
        LegoNetwork({"det": {"backbone": backbone}}, 4, router, rules)


def test_a_part_is_shared_by_the_tasks_that_have_it() -> None:
    model = build_gppf(
        TOP2,
        tasks=two_detectors_and_others(),
        share=("backbone", "neck"),
        lego=dict(init=dict(perturbation=0.5)),
    )
    network = model.network
    necks = {name for name in network.bank.lego_names if name.startswith("neck.")}
    assert "neck.lateral_convs.0.conv.weight" in necks
    for task in model.tasks:
        assert necks.isdisjoint(dict(model.tasks[task].named_parameters()))
        found = {n for n in network.shared_names(task) if n.startswith("neck.")}
        assert found == (necks if task in ("det", "faces") else set())
        assert set(network.weights(task)) == set(network.shared_names(task))
    data = batches()
    for task, has_neck in (("seg", False), ("cls", False), ("faces", True)):
        model.zero_grad()
        with model.activate(task) as stock:
            loss_of(stock, data.get(task, data["det"])).backward()
        reached = {
            name
            for name in necks
            if any(unit.grad is not None for unit in network.bank.units(name))
        }
        assert reached == (necks if has_neck else set())
    assert_export_is_the_same(model, "faces")
    assert_export_is_the_same(model, "seg")


def assert_export_is_the_same(model: GPPF, task: str) -> None:
    model.eval()
    stock = MODELS.build(ConfigDict(model._task_cfgs[task]))
    stock.load_state_dict(export_state_dict(model, task))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), model.activate(task) as inside:
        found, expected = inside.extract_feat(images), stock.eval().extract_feat(images)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_a_neck_of_other_tasks_leaves_kept_weights_alone() -> None:
    tasks = two_detectors_and_others()
    model = build_gppf(TOP2, tasks=tasks, share=("backbone", "neck")).eval()
    before = {task: model.network.weights(task) for task in ("seg", "det")}
    for unit in model.network.bank.units("neck.lateral_convs.0.conv.weight"):
        unit.add_(1.0)
    assert model.network.weights("seg") is before["seg"]
    assert model.network.weights("det") is not before["det"]


def test_necks_that_differ_are_an_error_between_their_tasks() -> None:
    tasks = two_detectors_and_others()
    tasks["faces"]["neck"].update(out_channels=8)
    tasks["faces"]["bbox_head"].update(in_channels=8)
    share = ("backbone", "neck")
    with pytest.raises(
        ValueError, match=r"`model.tasks.det` and `model.tasks.faces` d"
    ):
        build_gppf(TOP2, tasks=tasks, share=share)
    lego = dict(mismatch="private")
    model = build_gppf(TOP2, tasks=tasks, share=share, lego=lego)
    assert {name.partition(".")[0] for name in model.network.bank.lego_names} == {
        "backbone"
    }


class Tied(BaseModel):
    """Its head decodes with the weight of the backbone."""

    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 4)
        self.head.weight = self.backbone[0].weight
        if inside:
            self.backbone[2].weight = self.backbone[0].weight

    def forward(self, x: Tensor, mode: str = "tensor") -> Tensor:
        return self.head(self.backbone(x))


def test_weights_tied_out_of_the_shared_parts_are_refused() -> None:
    tasks = dict(one=dict(type=Tied), two=dict(type=Tied))
    named = (
        r"'one' ties 'backbone\.0\.weight'.*'head\.weight'.*"
        r"share=\('backbone', 'head'\).*\('backbone\.0\.weight', 'private'\)"
    )
    with pytest.raises(ValueError, match=named):
        build_gppf(TOP2, tasks=tasks)


@pytest.mark.parametrize("remedy", ["share", "private"])
def test_remedies_for_tied_weights_work(remedy: str) -> None:
    cfg = dict(type=Tied, inside=True)
    if remedy == "share":
        options: dict = dict(share=("backbone", "head"))
    else:
        options = dict(lego=dict(placement=[("backbone.0.weight", "private")]))
    model = build_gppf(TOP2, tasks=dict(one=cfg, two=cfg), **options).eval()
    stock, x = Tied(inside=True), torch.randn(2, 4)
    stock.load_state_dict(export_state_dict(model, "two"))
    with torch.no_grad(), model.activate("two") as inside:
        torch.testing.assert_close(inside(x), stock(x))
        assert inside.head.weight is inside.backbone[2].weight
    names = model.network.bank.lego_names
    assert ("backbone.0.weight" in names) == (remedy == "share")
    assert not {"head.weight", "backbone.2.weight"} & set(names)


def test_several_parts_can_be_shared() -> None:
    tasks = {name: task_configs()["cls"] for name in ("first", "second")}
    model = build_gppf(TOP2, tasks=tasks, share=("backbone", "head"))
    assert "head.fc.bias" in model.network.bank.lego_names
    assert "head.fc" in model.network.router.groups
    losses = []
    for task in tasks:
        with model.activate(task) as stock:
            losses.append(loss_of(stock, batches()["cls"]))
    assert torch.stack(losses).isfinite().all()
