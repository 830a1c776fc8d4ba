"""Compiled networks compute what the others do, and are compiled once."""

import shutil
import sysconfig
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch._dynamo.utils import counters

from gppf_mm.models import GPPF
from gppf_mm.models.compilation import compile_networks
from gppf_mm.registry import MODELS
from tests.stand_ins import (
    batches,
    build_gppf,
    predictions,
    relative_error,
    task_configs,
)

ROUTERS = dict(
    one_unit=dict(type="FixedRouter", routes=dict(det=[0], cls=[1])),
    two_of_four=dict(type="GumbelTopKRouter", k=2, temperature=5.0, anneal_iters=9),
)


@MODELS.register_module()
class Tiny(BaseModel):
    """A convolution, a norm and a layer that may be dilated."""

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            # A bias before a norm would have a gradient of rounding errors.
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, dilation=dilation, padding=dilation),
        )

    def forward(self, images: Tensor, mode: str) -> dict[str, Tensor]:
        return dict(loss=self.backbone(images).square().mean())


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def optimizer_of(model: GPPF) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))


def gradients(model: GPPF) -> dict[str, Tensor]:
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def compiled_graphs() -> int:
    return counters["stats"]["unique_graphs"]


def steps_agree(eager: GPPF, compiled: GPPF, data: list[dict]) -> None:
    """Train both; nothing may be compiled after the first step."""
    optimizers = [optimizer_of(model) for model in (eager, compiled)]
    plans = set()
    first = 0
    for step, batch in enumerate(data):
        compiled.load_state_dict(eager.state_dict())
        with torch._dynamo.config.patch(error_on_recompile=step > 0):
            for model, optimizer in zip((eager, compiled), optimizers, strict=True):
                optimizer.zero_grad()
                model.network.set_step(step)
                model.backward(batch, optimizer)
        first = first or compiled_graphs()
        assert compiled_graphs() == first > 0
        assert relative_error(gradients(compiled), gradients(eager)) < 1e-4
        statistics = dict(compiled.named_buffers()), dict(eager.named_buffers())
        assert relative_error(*statistics) < 1e-5
        task = next(iter(batch))
        plans.add(str(compiled.network.draw(task).units()))
        optimizers[0].step()
    routed = not isinstance(compiled.network.router, MODELS.get("FixedRouter"))
    assert len(plans) == (len(data) if routed else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("router", "with_cp"),
    [("one_unit", False), ("two_of_four", True)],
    ids=["one_unit-stored", "two_of_four-checkpointed"],
)
def test_stock_models_train_and_predict_as_before(router: str, with_cp: bool):
    """The compiled one alone is checkpointed, whose norms then count a batch once."""
    models = []
    for checkpointed in (False, with_cp):
        tasks = task_configs(8, checkpointed)
        tasks = {task: tasks[task] for task in ("det", "cls")}
        models.append(build_gppf(ROUTERS[router], 4, tasks))
    eager, compiled = models
    names = list(compiled.state_dict())
    compile_networks(compiled, dict(backend="aot_eager"))
    data = [
        {task: batch for task, batch in batches(step).items() if task != "seg"}
        for step in range(3)
    ]
    steps_agree(eager, compiled, data)
    assert not counters["graph_break"]
    assert list(compiled.state_dict()) == names == list(eager.state_dict())

    compiled.load_state_dict(eager.state_dict())
    for model in models:
        model.eval()
    before = compiled_graphs()
    with torch.no_grad():
        for task, batch in data[0].items():
            found, expected = (
                predictions(task, model.predict(task, batch))
                for model in (compiled, eager)
            )
            assert relative_error(found, expected) < 1e-4
    assert compiled_graphs() > before


@pytest.mark.slow
@pytest.mark.skipif(
    not (
        shutil.which("g++") and Path(sysconfig.get_path("include"), "Python.h").exists()
    ),
    reason="needs a C++ compiler and Python's headers",
)
def test_the_default_backend_computes_the_same():
    images = torch.randn(2, 3, 8, 8)
    eager, compiled = (
        build_gppf(ROUTERS["two_of_four"], 4, dict(a=dict(type=Tiny))) for _ in range(2)
    )
    compile_networks(compiled, True)
    steps_agree(eager, compiled, [dict(a=(images + step,)) for step in range(3)])


def test_each_task_has_its_own_share_of_variants():
    """PyTorch's limit of 8 variants of a function ends no task's compilation."""
    tasks = {f"t{i}": dict(type=Tiny, dilation=1 + i) for i in range(10)}
    model = build_gppf(dict(type="FixedRouter"), 1, tasks)
    compile_networks(model, dict(backend="eager"))
    batch = {task: (torch.randn(2, 3, 32, 32),) for task in tasks}
    model.backward(batch, optimizer_of(model))
    assert compiled_graphs() == len(tasks)
    # A size of one task's is not another's.
    batch["t0"] = (torch.randn(2, 3, 40, 40),)
    model.backward(batch, optimizer_of(model))
    assert compiled_graphs() == len(tasks) + 1


def test_a_copy_is_not_compiled_and_an_idle_network_says_why_it_fails():
    model = build_gppf(dict(type="FixedRouter"), 1, dict(a=dict(type=Tiny)))
    compile_networks(model, dict(backend="eager"))
    copy = deepcopy(model)
    with copy.activate("a"):
        copy.tasks.a.backbone(torch.randn(2, 3, 8, 8))
    assert compiled_graphs() == 0
    with pytest.raises(RuntimeError, match="ran without its weights"):
        model.tasks.a.backbone(torch.randn(2, 3, 8, 8))


def test_false_options_are_refused():
    model = build_gppf(dict(type="FixedRouter"), 1, dict(a=dict(type=Tiny)))
    for nothing in (False, None):
        compile_networks(model, nothing)
    assert model.tasks.a.backbone._compiled_call_impl is None
    with pytest.raises(TypeError, match=r"`compile` is 'yes'; expected True, False"):
        compile_networks(model, "yes")
    with pytest.raises(ValueError, match=r"`compile` has.*'back'.*mean 'backend'\?"):
        compile_networks(model, dict(back="eager"))
    with pytest.raises(ValueError, match=r"`compile` is .*'inductr'"):
        compile_networks(model, dict(backend="inductr"))
    with pytest.raises(ValueError, match=r"`compile` is .*'fastest'"):
        compile_networks(model, dict(mode="fastest"))


def test_a_backend_that_fails_is_named_with_the_task():
    def broken(graph: nn.Module, inputs: list) -> None:
        raise OSError("no compiler")

    model = build_gppf(dict(type="FixedRouter"), 1, dict(a=dict(type=Tiny)))
    compile_networks(model, dict(backend=broken))
    batch = dict(a=(torch.randn(2, 3, 8, 8),))
    with pytest.raises(RuntimeError, match=r"(?s)backbone of task 'a'.*no compiler"):
        model.backward(batch, optimizer_of(model))
