"""Learning rates that follow a task's metric."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import ReduceOnPlateauLR
from torch import nn

from gppf_mm.engine.hooks import ParamSchedulerHook
from gppf_mm.engine.runner import SIMTRunner
from tests.runs import make_tiny_toy, tiny_config

HOOK = ParamSchedulerHook()


def follow(monitor: str) -> tuple[SimpleNamespace, torch.optim.Optimizer]:
    """Return a runner, as far as the hook looks at it, and what it changes."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = ReduceOnPlateauLR(optimizer, monitor, "greater", patience=0)
    evaluator = SimpleNamespace(evaluators=dict(det=None, cls=None))
    runner = SimpleNamespace(
        param_schedulers=[scheduler], val_loop=SimpleNamespace(evaluator=evaluator)
    )
    return runner, optimizer


def rates(monitor: str, *validations: dict[str, float]) -> list[float]:
    runner, optimizer = follow(monitor)
    found = []
    for metrics in validations:
        HOOK.after_val_epoch(runner, metrics)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_silent_task_is_no_plateau():
    heard = [{"det/ap": value, "cls/top1": 0.0} for value in (1.0, 2.0, 1.0)]
    assert rates("det/ap", *heard) == [1.0, 1.0, pytest.approx(0.1)]
    silent = {"cls/top1": 9.0}
    paused = rates("det/ap", silent, heard[0], silent, heard[1], silent, heard[2])
    assert paused == [1.0, 1.0, 1.0, 1.0, 1.0, pytest.approx(0.1)]


def test_what_no_task_reports_is_refused():
    message = r"`param_scheduler\.monitor` is 'cls/top5'.*expected one of 'cls/top1'\."
    with pytest.raises(ValueError, match=message):
        rates("cls/top5", {"cls/top1": 1.0})
    with pytest.raises(ValueError, match=r"'mean'.*`val_cfg\.mean` makes a 'mean'"):
        rates("mean", {"cls/top1": 1.0})


def test_a_run_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_tiny_toy(tmp_path)
    monkeypatch.chdir(tmp_path)
    cfg = tiny_config(tmp_path)
    cfg.param_scheduler = dict(type="ReduceOnPlateauLR", monitor="seg/mIoU")
    hooks = SIMTRunner.from_cfg(cfg).hooks
    assert any(isinstance(hook, ParamSchedulerHook) for hook in hooks)
