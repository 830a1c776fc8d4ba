"""Runs in which a step does not train every task, or a task more than once."""

import os
import signal
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import Runner
from torch import multiprocessing

from gppf_mm.engine.runner.pool_options import pool_options
from gppf_mm.utils.batches import Batches
from tests.runs import make_tiny_toy, tiny_config


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_toy(tmp_path_factory.mktemp("schedules"))


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@HOOKS.register_module(force=True)
class StepWitness(Hook):
    """Notes what the tasks log, and their batches."""

    def __init__(self) -> None:
        self.outputs: list[dict] = []
        self.batches: list[object] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.outputs.append(outputs)
        self.batches.append(data_batch)


def build(work_dir: Path, schedule: dict | None, options: dict | None = None) -> Runner:
    options = {
        "train_cfg.schedule": schedule,
        "train_cfg.max_iters": 5,
        "custom_hooks": [
            dict(type="StepWitness"),
            dict(type="EMAHook", momentum=0.1),
            dict(type="TaskHook", task="cls", hook=dict(type="StepWitness")),
            # Refuses outputs without a loss.
            dict(
                type="TaskHook",
                task="det",
                hook=dict(type="mmdet.CheckInvalidLossHook", interval=1),
            ),
        ],
        **(options or {}),
    }
    cfg = tiny_config(work_dir, options)
    # Validation is that of every run.
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.pop("save_best")
    return RUNNERS.build(cfg)


def witness(runner: Runner) -> StepWitness:
    return next(hook for hook in runner.hooks if isinstance(hook, StepWitness))


def state(work_dir: Path) -> dict:
    return torch.load(work_dir / "iter_5.pth", weights_only=True)


@pytest.mark.slow
def test_a_run_of_one_task_in_a_step_resumes_bit_by_bit(tmp_path: Path):
    schedule = dict(type="RoundRobinSchedule")
    runner = build(tmp_path / "whole", schedule)
    runner.train()
    seen = witness(runner)
    assert [list(step) for step in seen.batches] == [
        ["det"], ["seg"], ["cls"], ["det"], ["seg"]
    ]  # fmt: skip
    for step, outputs in zip(seen.batches, seen.outputs, strict=True):
        (task,) = step
        assert float(outputs["loss"]) == pytest.approx(float(outputs[f"{task}/loss"]))
        assert all(name == "loss" or name.startswith(task) for name in outputs)
    cls = next(hook for hook in runner.hooks if getattr(hook, "task", "") == "cls")
    assert len(cls.hook.outputs) == 1
    log = next((tmp_path / "whole").rglob("*.log")).read_text()
    assert "cls/data_time: " in log

    options = {"load_from": str(tmp_path / "whole/iter_4.pth"), "resume": True}
    build(tmp_path / "resumed", schedule, options).train()
    whole, resumed = state(tmp_path / "whole"), state(tmp_path / "resumed")
    for part in ("state_dict", "ema_state_dict"):
        for name, value in whole[part].items():
            assert torch.equal(resumed[part][name], value), name


def test_several_batches_of_a_task_are_one_step(tmp_path: Path):
    schedule = dict(type="EveryTaskSchedule", batches=dict(cls=2))
    options = {
        "train_cfg.max_iters": 1,
        "auto_scale_lr": dict(enable=True, base_batch_size=24),
    }
    runner = build(tmp_path, schedule, options)
    runner.train()
    (step,) = witness(runner).batches
    assert list(step) == ["det", "seg", "cls"]
    assert isinstance(step["cls"], Batches)
    assert len(step["cls"]) == 2
    # 2 + 2 + 2 * 4 images a step against a base of 24.
    base = tiny_config(tmp_path).optim_wrapper.optimizer.lr
    assert runner.param_schedulers[0].base_values[0] == pytest.approx(base / 2)


def test_the_pool_takes_over_what_the_tasks_want():
    cfgs = dict(
        det=dict(num_workers=2, prefetch_factor=4, pin_memory=True),
        seg=dict(num_workers=3, prefetch_factor=2, timeout=30),
        cls=dict(multiprocessing_context="spawn", prefetch_factor=None),
    )
    wanted = dict(
        num_workers=3,
        pin_memory=True,
        prefetch_factor=4,
        multiprocessing_context="spawn",
        timeout=30,
    )
    assert pool_options(cfgs) == wanted
    assert pool_options(cfgs, 0)["num_workers"] == 0
    cfgs["det"]["multiprocessing_context"] = "fork"
    with pytest.raises(ValueError, match=r"multiprocessing_context.*mp_start_method"):
        pool_options(cfgs)
    with pytest.raises(ValueError, match=r"`train_cfg\.num_workers` is -1"):
        pool_options(cfgs, -1)


@HOOKS.register_module(force=True)
class WorkerKiller(Hook):
    """Does what the kernel does when memory runs out."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 0:
            os.kill(active_children()[0].pid, signal.SIGKILL)


@pytest.fixture
def start_method():
    before = multiprocessing.get_start_method(allow_none=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.slow
@pytest.mark.usefixtures("start_method")
def test_a_run_with_spawned_workers_ends_when_one_is_killed(tmp_path: Path):
    options = {
        "env_cfg.mp_cfg.mp_start_method": "spawn",
        "train_cfg.num_workers": 1,
        "train_cfg.max_iters": 1000,
        "train_dataloader.det.prefetch_factor": 1,
        "custom_hooks": [dict(type="StepWitness"), dict(type="WorkerKiller")],
    }
    runner = build(tmp_path, None, options)
    with pytest.raises(RuntimeError, match=r"one of the 1 workers .* SIGKILL.*memory"):
        runner.train()
    assert len(witness(runner).outputs) >= 1
