"""The pre-training configs take a step on stand-ins of their data sets."""

import gc
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from gppf_mm.apis import load_config
from gppf_mm.registry import RUNNERS
from tests.stand_in_data import write_stand_ins

CONFIGS = sorted((Path(__file__).parents[2] / "configs/gppf").glob("*.py"))


class Record(Hook):
    """Keeps what a step logged, and which tasks' units it trained."""

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        self.losses = {name: float(value) for name, value in outputs.items()}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stand_ins")
    write_stand_ins(root)
    return root


@pytest.fixture(autouse=True)
def _free_memory() -> Iterator[None]:
    """Free one test's gigabytes before the next takes its own."""
    yield
    gc.collect()


def shrink(cfg: dict[str, Any]) -> None:
    """Make images small, so that a step on a CPU takes seconds."""
    for part in _dicts(cfg):
        if part.get("type") in ("Resize", "RandomResize") and "scale" in part:
            part["scale"] = (128, 96) if isinstance(part["scale"], tuple) else 96
        if part.get("type") == "RandomResizedCrop":
            part["scale"] = 64
        if "crop_size" in part and isinstance(part["crop_size"], tuple):
            part["crop_size"] = (64, 64)
        if part.get("type") == "SegDataPreProcessor":
            part["size"] = (64, 64)
        if "num_workers" in part:
            part["num_workers"] = 0
            part["persistent_workers"] = False
            part["batch_size"] = 2
            part["dataset"]["indices"] = 4


def _dicts(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _dicts(item)


def small_config(path: Path, work_dir: Path, evaluated: bool) -> Config:
    made = load_config(path, {"train_cfg.max_iters": 1}).to_dict()
    shrink(made)
    if not evaluated:
        made = {k: v for k, v in made.items() if not k.startswith(("val_", "test_"))}
    cfg = Config(made, format_python_code=False)
    cfg.work_dir = str(work_dir)
    cfg.default_hooks.checkpoint = None
    return cfg


def test_every_data_set_of_the_eight_tasks_is_there_to_evaluate(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
):
    """Mmpretrain's class for a tree of folders refuses the split of its recipe."""
    monkeypatch.chdir(workplace)
    cfg = load_config(
        next(path for path in CONFIGS if "r50" in path.stem and "8tasks" in path.stem)
    )
    for task in ("in21k", "places365"):
        for stage in ("val", "test"):
            with DefaultScope.overwrite_default_scope("mmpretrain"):
                dataset = DATASETS.build(cfg[f"{stage}_dataloader"][task].dataset)
            assert "/val/" in dataset[0]["data_samples"].img_path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_learning_rate_is_for_the_images_that_the_name_says(path: Path):
    gpus, images = map(int, re.search(r"_(\d+)xb(\d+)-", path.stem).groups())
    cfg = Config.fromfile(path)
    assert sum(task.batch_size for task in cfg.tasks.values()) == images
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=gpus * images)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_takes_a_step(
    path: Path, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workplace)
    evaluated = "r50" in path.stem and "in1k" in path.stem
    cfg = small_config(path, tmp_path, evaluated)
    runner = RUNNERS.build(cfg)
    record = Record()
    runner.register_hook(record)
    before = {n: p.detach().clone() for n, p in runner.model.named_parameters()}
    runner.train()
    assert all(math.isfinite(value) for value in record.losses.values())
    for task in cfg.model.tasks:
        assert any(name.startswith(f"{task}/loss") for name in record.losses)
        # Each task's own parameters and some of the bank's have moved.
        assert _moved(runner, before, f"tasks.{task}.")
    assert _moved(runner, before, "network.bank.")
    if evaluated:
        metrics = runner.val()
        assert {"ade20k/mIoU", "in1k/accuracy/top1"} <= set(metrics)


def _moved(runner: Runner, before: dict[str, Any], prefix: str) -> bool:
    return any(
        not parameter.equal(before[name])
        for name, parameter in runner.model.named_parameters()
        if name.startswith(prefix)
    )
