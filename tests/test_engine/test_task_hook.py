"""A stock hook sees one task as if the run were its own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from torch import nn

from gppf_mm.engine.hooks import TaskHook
from gppf_mm.models import GPPF
from gppf_mm.registry import HOOKS
from tests.stand_ins import task_configs


@HOOKS.register_module()
class Witness(Hook):
    """Keeps what it was shown."""

    priority = "LOW"

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def before_val(self, runner) -> None:
        self.seen["model"] = runner.model
        self.seen["iter"] = runner.iter
        scope = DefaultScope.get_current_instance()
        self.seen["scope"] = scope and scope.scope_name
        self.seen["weights"] = stacked(runner.model.backbone)
        # Fails if the weights are not in place.
        self.seen["features"] = runner.model.extract_feat(torch.ones(1, 3, 64, 64))

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.seen |= dict(index=batch_idx, batch=data_batch, outputs=outputs)


def weights_of(model: GPPF, task: str) -> torch.Tensor:
    """Return copies of the weights that a task's backbone has, in one piece."""
    with model.activate(task) as stock:
        return stacked(stock.backbone)


def stacked(backbone: nn.Module) -> torch.Tensor:
    convs = (item for item in backbone.modules() if isinstance(item, nn.Conv2d))
    return torch.cat([conv.weight.flatten() for conv in convs])


def test_the_stock_hook_gets_the_task_s_own_model_batch_and_values():
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    model = GPPF(task_configs(), lego).eval()
    runner = SimpleNamespace(model=model, iter=7)
    hook = TaskHook("seg", dict(type="gppf_mm.Witness"))
    assert hook.priority == "LOW"
    with torch.no_grad():
        hook.before_val(runner)
        with model.activate("seg") as stock:
            expected = stock.extract_feat(torch.ones(1, 3, 64, 64))
    seen = hook.hook.seen
    assert seen["model"] is model.tasks["seg"]
    assert seen["iter"] == 7
    assert all(map(torch.equal, seen["features"], expected))

    hook.after_train_iter(
        runner, 3, dict(seg="s", det="d"), {"seg/loss": 1, "det/loss": 2, "loss": 3}
    )
    assert (seen["index"], seen["batch"], seen["outputs"]) == (3, "s", {"loss": 1})

    # A step that does not train the task is none of its hook.
    hook.before_train_iter(runner, 4, dict(det="d"))
    hook.after_train_iter(runner, 4, dict(det="d"), {"det/loss": 2, "loss": 2})
    assert seen["index"] == 3


def test_before_a_validation_the_weights_are_those_of_the_validation():
    router = dict(type="gppf_mm.TopKRouter", k=1, noise=1.0, group="layer")
    model = GPPF(task_configs(), dict(num_units=4, router=router)).train()
    with torch.no_grad():
        for parameter in model.network.bank.parameters():
            parameter.normal_()
    hook = TaskHook("seg", dict(type="gppf_mm.Witness"))
    with torch.no_grad():
        hook.before_val(SimpleNamespace(model=model, iter=0))
        assert model.network.training
        noisy = weights_of(model, "seg")
        expected = weights_of(model.eval(), "seg")
    assert torch.equal(hook.hook.seen["weights"], expected)
    assert not torch.equal(noisy, expected)


@pytest.mark.parametrize(("given", "wanted"), [("mmseg", "mmseg"), (None, "gppf_mm")])
def test_what_the_hook_builds_is_of_its_library(given: str | None, wanted: str):
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    runner = SimpleNamespace(model=GPPF(task_configs(), lego), iter=0)
    hook = TaskHook("seg", dict(type="gppf_mm.Witness", _scope_=given))
    with DefaultScope.overwrite_default_scope("gppf_mm"), torch.no_grad():
        hook.before_val(runner)
        assert hook.hook.seen["scope"] == wanted
        assert DefaultScope.get_current_instance().scope_name == "gppf_mm"


@HOOKS.register_module()
class AfterEveryIteration(Hook):
    """Acts by the method that MMEngine calls after every kind of iteration."""

    def _after_iter(
        self, runner, batch_idx, data_batch=None, outputs=None, mode="train"
    ) -> None:
        self.seen = runner.model


def test_a_point_may_be_one_of_all_stages():
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    runner = SimpleNamespace(model=GPPF(task_configs(), lego), iter=0)
    hook = TaskHook("seg", dict(type="gppf_mm.AfterEveryIteration"))
    hook.after_train_iter(runner, 0, dict(seg="s"), {})
    assert hook.hook.seen is runner.model.tasks["seg"]


def test_no_weights_are_assembled_where_the_hook_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    lego = dict(num_units=2, router=dict(type="gppf_mm.SoftRouter"))
    model = GPPF(task_configs(), lego)
    laid = []
    monkeypatch.setattr(model.network, "lay", lambda task, plan: laid.append(task))
    runner = SimpleNamespace(model=model, iter=0)
    hook = TaskHook("seg", dict(type="gppf_mm.Witness"))
    hook.before_train_iter(runner, 0, dict(seg="s"))
    assert not laid
    hook.after_train_iter(runner, 0, dict(seg="s"), {})
    assert laid == ["seg"]


def test_a_hook_of_which_nothing_would_be_called_is_refused():
    with pytest.raises(ValueError, match=r"SyncBuffersHook for task 'seg'.*before_val"):
        TaskHook("seg", dict(type="SyncBuffersHook"))


def test_a_stock_run_is_refused():
    hook = TaskHook("seg", dict(type="gppf_mm.Witness"))
    with pytest.raises(TypeError, match=r"'seg'.*is a Linear.*Put the Witness itself"):
        hook.before_train(SimpleNamespace(model=nn.Linear(1, 1)))
