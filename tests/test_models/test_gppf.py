"""GPPF as a model of MMEngine: one SIMT step, its log, its optimizer, its errors."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from weakref import ref

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF, sync_bn
from gppf_mm.registry import MODELS
from gppf_mm.utils.batches import Batches
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    predictions,
    relative_error,
    task_configs,
)

TOP2 = dict(type="TopKRouter", k=2, group="block", init_std=1.0)
PARTED = dict(init=dict(perturbation=0.5))


def wrapper(
    model: nn.Module, lr: float = 0.1, cls: type = OptimWrapper, **options: object
) -> OptimWrapper:
    return cls(optimizer=torch.optim.SGD(model.parameters(), lr=lr), **options)


def values(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().clone() for name, parameter in model.named_parameters()
    }


def gradients(model: GPPF, data: dict[str, dict]) -> dict[str, Tensor]:
    """Return a step's gradients, zeros for none; the model stays as it was."""
    copied = deepcopy(model)
    copied.backward(data, wrapper(copied))
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in copied.named_parameters()
    }


def test_log_has_the_stock_names_behind_the_task() -> None:
    weights = dict(det=1.0, seg=0.5, cls=2.0)
    model = build_gppf(TOP2, loss_weights=weights)
    log = model.train_step(batches(), wrapper(model))
    expected = {"loss"}
    for task in TASKS:
        stock = build_stock(task)
        names = stock.train_step(batches()[task], wrapper(stock))
        expected |= {f"{task}/{name}" for name in [*names, "step_time"]}
    assert set(log) == expected
    total = sum(weights[task] * log[f"{task}/loss"] for task in TASKS)
    torch.testing.assert_close(log["loss"], total)
    parts = log["det/loss_cls"] + log["det/loss_bbox"]
    torch.testing.assert_close(log["det/loss"], parts)
    assert not any(value.requires_grad for value in log.values())


def test_several_batches_of_a_task_train_by_their_mean() -> None:
    model = build_gppf(TOP2, lego=PARTED)
    first = batches()
    second = deepcopy(first)
    second["seg"]["inputs"] = [255 - image for image in first["seg"]["inputs"]]
    both = first | dict(seg=Batches([first["seg"], second["seg"]]))
    found = gradients(model, both)
    naive = [gradients(model, data) for data in (first, second)]
    for name, gradient in found.items():
        expected = (naive[0][name] + naive[1][name]) / 2
        assert relative_error({name: gradient}, {name: expected}) <= 1e-5


def test_tasks_are_announced_when_their_gradients_are_there() -> None:
    model = build_gppf(TOP2)
    announced = []

    def look(task: str) -> None:
        trained = [p.grad is not None for p in model.tasks[task].parameters()]
        announced.append((task, any(trained)))

    model.backward(batches(), wrapper(model), after_task=look)
    assert announced == [(task, True) for task in TASKS]


def test_loss_weights_scale_gradients() -> None:
    weights = dict(det=3.0, seg=0.5, cls=0.0)
    plain = build_gppf(TOP2, lego=PARTED)
    model = deepcopy(plain)
    model.loss_weights.update(weights)
    found, expected = gradients(model, batches()), gradients(plain, batches())
    for name, gradient in found.items():
        for task in TASKS:
            if name.startswith((f"tasks.{task}.", f"network.router.logits.{task}")):
                torch.testing.assert_close(gradient, weights[task] * expected[name])


def test_stepping_over_a_part_of_the_tasks_leaves_the_others() -> None:
    model = build_gppf(TOP2, lego=PARTED)
    before = values(model)
    data = batches()
    model.train_step(dict(cls=data["cls"]), wrapper(model))
    changed = {
        name
        for name, value in values(model).items()
        if not torch.equal(value, before[name])
    }
    assert any(name.startswith("tasks.cls.head") for name in changed)
    assert "network.router.logits.cls" in changed
    others = ("tasks.det", "tasks.seg", "network.router.logits.det")
    assert not any(name.startswith(others) for name in changed)


def test_inactive_units_do_not_change_by_a_bit() -> None:
    model = build_gppf(dict(TOP2, k=1), num_units=6, lego=PARTED)
    network, before = model.network, values(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    active: set[tuple[str, int]] = set()
    for step in range(3):
        for task in TASKS:
            units = network.draw(task).units()
            active |= {
                (name, unit)
                for name in network.bank.lego_names
                for unit in units[network.groups[name]]
            }
        model.train_step(batches(step), OptimWrapper(optimizer))
    after = values(model)
    inactive = 0
    for name in network.bank.lego_names:
        path, _, leaf = name.rpartition(".")
        for unit in range(6):
            full = f"network.bank.lego.{path}.units.{unit}.{leaf}"
            kept = torch.equal(after[full], before[full])
            assert kept == ((name, unit) not in active), full
            inactive += kept
    assert inactive >= 3 * len(network.bank.lego_names)


def test_accumulation_averages_over_batches() -> None:
    model = build_gppf(TOP2, lego=PARTED)
    before = values(model)
    first, second = (gradients(model, batches(seed)) for seed in (0, 1))
    optim = wrapper(model, lr=1.0, accumulative_counts=2)
    model.train_step(batches(0), optim)
    assert all(
        torch.equal(value, before[name]) for name, value in values(model).items()
    )
    model.train_step(batches(1), optim)
    expected = {
        name: value - (first[name] + second[name]) / 2 for name, value in before.items()
    }
    assert relative_error(values(model), expected) < 1e-5
    assert all(parameter.grad is None for parameter in model.parameters())


def test_accumulation_counts_steps_and_not_tasks() -> None:
    model = build_gppf(TOP2)
    optim = wrapper(model, accumulative_counts=2)
    # Five steps: two whole pairs and a rest, which MMEngine does not drop.
    optim.initialize_count_status(model, 0, 5)
    moved = []
    for step in range(5):
        before = values(model)
        rest = gradients(model, batches(step))
        model.train_step(batches(step), optim)
        after = values(model)
        moved.append(any(not torch.equal(after[name], before[name]) for name in after))
    assert moved == [False, True, False, True, True]
    expected = {name: value - 0.1 * rest[name] for name, value in before.items()}
    assert relative_error(after, expected) < 1e-5


def test_clipping_takes_all_tasks_together() -> None:
    model = build_gppf(TOP2, lego=PARTED)
    before, gradient = values(model), gradients(model, batches())
    norm = torch.stack([value.norm() for value in gradient.values()]).norm()
    assert norm > 1
    model.train_step(batches(), wrapper(model, lr=1.0, clip_grad=dict(max_norm=0.5)))
    expected = {
        name: value - gradient[name] * 0.5 / norm for name, value in before.items()
    }
    assert relative_error(values(model), expected) < 1e-5


def amp_wrapper(model: nn.Module, scale: float, dtype: str) -> AmpOptimWrapper:
    return wrapper(model, cls=AmpOptimWrapper, loss_scale=scale, dtype=dtype)


def test_mixed_precision_runs_the_stock_wrappers_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Mocks: MMEngine refuses mixed precision without a GPU, and its scaler is CUDA's.
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    scaler = partial(torch.amp.GradScaler, "cpu")
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", scaler)
    start = build_gppf(TOP2, lego=PARTED)
    dtypes, ends = set(), []
    for scale in (1.0, 1024.0):
        model = deepcopy(start)
        for task in TASKS:
            model.tasks[task].backbone.register_forward_hook(
                lambda module, args, out: dtypes.add(out[-1].dtype)
            )
        model.train_step(batches(), amp_wrapper(model, scale, "bfloat16"))
        ends.append(values(model))
    assert dtypes == {torch.bfloat16}
    before = values(start)
    for name, value in ends[0].items():
        assert value.dtype == torch.float32
        # The scale is a power of two, which the scaler takes out again.
        torch.testing.assert_close(ends[1][name], value)
    # Not the gradient of float32, but along it.
    expected = gradients(start, batches())
    for name in ("tasks.det.bbox_head.retina_cls.weight", "tasks.cls.head.fc.weight"):
        step = (before[name] - ends[0][name]).flatten() / 0.1
        torch.testing.assert_close(
            step.norm(), expected[name].norm(), rtol=0.05, atol=0
        )
        assert torch.cosine_similarity(step, expected[name].flatten(), dim=0) > 0.98


def test_overflow_skips_the_whole_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    scaler = partial(torch.amp.GradScaler, "cpu")
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", scaler)
    # The loss is finite, but not as the scaler makes it.
    model = build_gppf(TOP2, loss_weights=dict(det=1.0, seg=1.0, cls=1e36))
    before = values(model)
    model.train_step(batches(), amp_wrapper(model, 2.0**16, "bfloat16"))
    assert all(
        torch.equal(value, before[name]) for name, value in values(model).items()
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_trains_on_a_gpu(dtype: str) -> None:
    model = build_gppf(TOP2, lego=PARTED).cuda()
    optim = amp_wrapper(model, 512.0, dtype)
    losses = [model.train_step(batches(), optim)["loss"].item() for _ in range(5)]
    assert losses[-1] < losses[0]
    assert all(value.isfinite().all() for value in values(model).values())


class _Alive:
    """Hangs on a graph, to see when the graph is gone."""


@pytest.mark.parametrize("with_cp", [False, True])
def test_a_tasks_graph_is_gone_before_the_next_forward(with_cp: bool) -> None:
    model = build_gppf(TOP2, tasks=task_configs(with_cp=with_cp))
    graphs: dict[str, ref] = {}
    alive: dict[str, list[str]] = {}

    def hang_on(task: str, module: nn.Module, args: tuple, out: tuple) -> None:
        mark = _Alive()
        out[-1].grad_fn.metadata["mark"] = mark
        graphs[task] = ref(mark)

    def look(task: str, module: nn.Module, args: tuple) -> None:
        alive[task] = [name for name, graph in graphs.items() if graph() is not None]

    for task in TASKS:
        backbone = model.tasks[task].backbone
        backbone.register_forward_pre_hook(partial(look, task))
        backbone.register_forward_hook(partial(hang_on, task))
    log = model.train_step(batches(), wrapper(model))
    assert set(graphs) == set(TASKS)
    assert alive == dict(det=[], seg=[], cls=[])
    # What is logged keeps nothing alive either.
    assert log
    assert not any(graph() for graph in graphs.values())


@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_the_stock_models(task: str) -> None:
    model = build_gppf(TOP2, lego=PARTED)
    model.train_step(batches(1), wrapper(model, lr=0.01))
    model.eval()
    stock = build_stock(task)
    state = dict(model.tasks[task].state_dict())
    network = model.network
    routes = network.draw(task).routes
    for name in network.bank.lego_names:
        route = routes[network.groups[name]]
        mixed = zip(route.units, route.weights, strict=True)
        units = network.bank.units(name)
        state[name] = sum(units[unit] * weight for unit, weight in mixed).detach()
    stock.load_state_dict(state)
    stock.eval()
    with torch.no_grad():
        expected = stock.test_step(batches()[task])
        found = model.val_step({task: batches()[task]})
    assert list(found) == [task]
    error = relative_error(predictions(task, found[task]), predictions(task, expected))
    assert error <= 1e-5


def test_forward_runs_one_task() -> None:
    model = build_gppf(TOP2).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        # Without a task the first one, as tools that count operations call it.
        pyramid, _ = model(images)
        assert len(pyramid) == 4
        found = model(images, task="cls")
        with model.activate("cls") as stock:
            assert torch.equal(found, stock(images))


class Tiny(BaseModel):
    """A model whose batches are tuples, as MMEngine allows."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1))

    def forward(self, images: Tensor, targets: Tensor, mode: str) -> dict[str, Tensor]:
        difference = self.backbone(images).mean((2, 3)) - targets
        return dict(loss_tuple=difference.square().mean() if mode == "loss" else 0)


def test_batches_may_be_tuples() -> None:
    tasks = dict(one=dict(type=Tiny), two=dict(type=Tiny))
    model = build_gppf(dict(type="FixedRouter"), 1, tasks)
    batch = (torch.randn(2, 3, 4, 4), torch.randn(2, 4))
    log = model.train_step(dict(one=batch, two=batch), wrapper(model, lr=0.0))
    with model.activate("one") as stock:
        expected = stock(*batch, mode="loss")
    torch.testing.assert_close(log["two/loss"], expected["loss_tuple"])


def without_labels(data: dict[str, dict], task: str) -> dict[str, dict]:
    samples = data[task]["data_samples"]
    data[task]["data_samples"] = [type(sample)() for sample in samples]
    return data


@pytest.mark.parametrize("task", TASKS)
def test_batch_without_labels_names_the_task(task: str) -> None:
    model = build_gppf(TOP2)
    named = rf"'{task}'.*without any label.*train_dataloader\.{task}"
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match=named):
        model.train_step(without_labels(batches(), task), wrapper(model))
    assert all(map(torch.equal, model.parameters(), before))


class Reconstructor(BaseModel):
    """A model that learns from images alone, as self-supervised ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 3, 1))

    def forward(
        self, inputs: Tensor, data_samples: list, mode: str
    ) -> dict[str, Tensor]:
        return dict(loss=(self.backbone(inputs) - inputs).square().mean())


def test_a_task_that_needs_no_labels_trains_without() -> None:
    model = build_gppf(dict(type="FixedRouter"), 1, dict(mae=dict(type=Reconstructor)))
    samples = [BaseDataElement(metainfo=dict(img_path="a.png"))]
    batch = dict(inputs=torch.randn(1, 3, 4, 4), data_samples=samples)
    assert model.train_step(dict(mae=batch), wrapper(model))["mae/loss"] > 0


def test_another_error_of_a_model_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AttributeError("no such layer")

    model = build_gppf(TOP2)
    monkeypatch.setattr(type(model.tasks["seg"]), "forward", fail)
    with pytest.raises(AttributeError, match="no such layer"):
        model.train_step(batches(), wrapper(model))


def test_images_without_objects_are_labelled() -> None:
    model, data = build_gppf(TOP2), batches()
    for sample in data["det"]["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    assert model.train_step(data, wrapper(model))["loss"].isfinite()


def test_unknown_task_is_named() -> None:
    model, data = build_gppf(TOP2), batches()
    data["dett"] = data.pop("det")
    with pytest.raises(ValueError, match=r"train_dataloader.*'dett'.*mean 'det'"):
        model.train_step(data, wrapper(model))
    with pytest.raises(ValueError, match=r"'dett'.*mean 'det'"):
        model.predict("dett", data["dett"])


def test_synchronised_norms_are_plain_ones_in_a_single_process() -> None:
    tasks, plain = task_configs(), build_gppf(TOP2, lego=PARTED)
    for cfg in tasks.values():
        cfg["backbone"]["norm_cfg"] = dict(type="SyncBN", requires_grad=True)
    tasks["seg"]["decode_head"]["norm_cfg"] = dict(type="SyncBN")
    model = build_gppf(TOP2, tasks=tasks, lego=PARTED)
    # PyTorch's own refuse a CPU as soon as there is a process group.
    assert not any(isinstance(item, nn.SyncBatchNorm) for item in model.modules())
    assert list(model.state_dict()) == list(plain.state_dict())
    model.load_state_dict(plain.state_dict())
    expected = plain.train_step(batches(), wrapper(plain))
    found = model.train_step(batches(), wrapper(model))
    for name, value in expected.items():
        if not name.endswith("/step_time"):
            torch.testing.assert_close(found[name], value)
    assert relative_error(model.state_dict(), plain.state_dict()) < 1e-6
    # What is exported is for the recipe as it stands, with synchronised norms.
    stock = MODELS.build(ConfigDict(tasks["seg"]))
    stock.load_state_dict(export_state_dict(model, "seg"))


def test_synchronised_norms_stay_in_distributed_runs_on_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Mocks: neither a process group nor a GPU is at hand.
    monkeypatch.setattr(sync_bn, "is_distributed", lambda: True)
    tasks = task_configs()
    tasks["det"]["backbone"]["norm_cfg"] = dict(type="SyncBN", requires_grad=True)
    counts = []
    for has_gpu in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=has_gpu: found)
        model = bare(tasks=tasks)()
        norms = [m for m in model.modules() if isinstance(m, nn.SyncBatchNorm)]
        counts.append(len(norms))
    assert counts == [20, 0]


def bare(**changes: object) -> Callable[[], GPPF]:
    """Return a function that builds a GPPF whose config has been changed."""
    cfg = dict(type="GPPF", tasks=task_configs(), lego=dict(num_units=4, router=TOP2))
    return lambda: MODELS.build(dict(cfg, **changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(tasks={}), r"model\.tasks.*empty"),
        (dict(tasks={"a/b": task_configs()["cls"]}), r"model\.tasks.*'a/b'"),
        (dict(lego=dict(router=TOP2)), r"model\.lego\.num_units.*missing"),
        (dict(lego=dict(num_units=4)), r"model\.lego\.router.*missing"),
        (
            dict(lego=dict(num_unit=4, router=TOP2)),
            r"model\.lego.*'num_unit'.*Did you mean 'num_units'",
        ),
        (
            dict(lego=dict(num_units=4, router=TOP2, init=dict(perturb=1))),
            r"model\.lego\.init.*'perturb'.*Did you mean 'perturbation'",
        ),
        (
            dict(lego=dict(num_units=1, router=TOP2)),
            r"lego\.router\.k` is 2.*lego\.num_units` is 1",
        ),
        (
            dict(lego=dict(num_units=4, router=dict(TOP2, group="blocks"))),
            r"lego\.router\.group.*'blocks'",
        ),
        (
            dict(lego=dict(num_units=4, router="TopKRouter")),
            r"lego\.router` is 'TopKRouter'; expected a dict",
        ),
        (
            dict(lego=dict(num_units=4, router=TOP2, placement=[("*.weight",)])),
            r"lego\.placement.*expected a pair",
        ),
        (dict(lego="lego.py"), r"model\.lego` is 'lego\.py'; expected a dict"),
        (
            dict(lego=dict(num_units=4, router=TOP2, init="r50.pth")),
            r"lego\.init` is 'r50\.pth'.*dict\(checkpoint=",
        ),
        (
            dict(lego=dict(num_units=4, router=TOP2, norm=["unit"])),
            r"lego\.norm` is \['unit'\]; expected one of",
        ),
        (dict(tasks=dict(logits=task_configs()["cls"])), r"'logits'.*another name"),
        (dict(loss_weights=dict(det=1, seg=1)), r"loss_weights.*'cls'"),
        (
            dict(loss_weights=1),
            r"loss_weights` is 1; expected a dict, such as dict\(det",
        ),
        (
            dict(loss_weights=dict(det=1, seg="1", cls=1)),
            r"loss_weights\.seg` is '1'; expected a number from 0",
        ),
        (dict(loss_weights=dict(det=1, seg=1, cls=-1)), r"loss_weights\.cls` is -1"),
        (dict(loss_weights=dict(det=1, seg=1, cla=1)), r"loss_weights.*'cla'.*'cls'"),
        (
            dict(share=("backbone", "nek")),
            r"model\.share.*'nek'.*nor that of any.*'neck'",
        ),
        (dict(share="backbone"), r"model\.share` is 'backbone'.*\('backbone',\)"),
        (dict(share=None), r"model\.share` is None; expected a tuple.*\('backbone',\)"),
        (dict(share=(1,)), r"model\.share` is \(1,\); expected a tuple"),
        (dict(share=()), r"model\.share` is \(\); expected a tuple"),
    ],
)
def test_bad_config_is_an_error_that_names_the_key(changes: dict, named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        bare(**changes)()


def test_weights_that_nobody_would_load_are_refused() -> None:
    init_cfg = dict(type="Pretrained", checkpoint="nowhere.pth")
    with pytest.raises(ValueError, match=r"`model\.init_cfg`.*`load_from`"):
        GPPF(task_configs(), dict(num_units=2), init_cfg=init_cfg)
