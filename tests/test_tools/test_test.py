import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from gppf_mm.apis import (
    dump_predictions,
    find_config,
    load_config,
    name_missing_data,
    select_tasks,
    write_metrics,
)

from .conftest import Evaluation, Run

Main = Callable[..., tuple[int, str]]
TASKS = ("det", "seg", "cls")


def read_metrics(tested: Evaluation) -> dict[str, float]:
    return json.loads((tested.folder / "metrics.json").read_text())


def test_metrics_are_those_of_the_last_validation(run: Run, tested: Evaluation):
    line = next(line for line in run.output.splitlines() if "mean: " in line)
    validated = dict(re.findall(r"(\S+): ([-\d.]+)", line))
    metrics = read_metrics(tested)
    assert {"det/coco/bbox_mAP_50", "seg/mIoU", "cls/accuracy/top1"} <= set(metrics)
    for name, value in metrics.items():
        assert value == pytest.approx(float(validated[name]), abs=1e-4), name


def test_the_config_of_the_run_stays_as_it_was(run: Run, tested: Evaluation):
    """That of a test, which may be of fewer tasks, is beside its log."""
    (dumped,) = run.work_dir.glob("*.py")
    assert find_config(run.checkpoint) == dumped
    kept = Config.fromfile(dumped)
    assert set(kept.test_dataloader) == set(kept.train_dataloader) == set(TASKS)
    assert "show" not in dumped.read_text()
    beside_logs = [path.read_text() for path in run.work_dir.glob(f"*/{dumped.name}")]
    assert sum("show" in text for text in beside_logs) == 1


def test_predictions_are_dumped_per_task_for_every_image(tested: Evaluation):
    for task in TASKS:
        with open(tested.folder / f"predictions_{task}.pkl", "rb") as file:
            assert len(pickle.load(file)) == 8


def test_pictures_of_every_fourth_image(run: Run, tested: Evaluation):
    for task in TASKS:
        pictures = sorted((tested.folder / "show" / task).glob("*.png"))
        assert len(pictures) == 2
        height, width = cv2.imread(str(pictures[0])).shape[:2]
        assert height >= 256
        # Ground truth and prediction side by side; a class is written on one image.
        assert width == (height if task == "cls" else 2 * height)
        root = run.folder / "data/toy" / task
        for picture in pictures:
            assert list(root.rglob(f"{picture.stem}.png"))


def test_task_and_out_of_one_task(
    run: Run, tested: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One task gives its numbers alone, no mean, and its file under the given name."""
    from gppf_mm.registry import RUNNERS

    monkeypatch.chdir(run.folder)
    cfg = load_config(run.config)
    select_tasks(cfg, ["cls"])
    dump_predictions(cfg, [str(tmp_path / "cls.pkl")])
    cfg.work_dir, cfg.load_from = str(tmp_path), str(run.checkpoint)
    cfg.experiment_name = "one_task"
    metrics = RUNNERS.build(cfg).test()
    assert set(metrics) == {"cls/accuracy/top1"}
    expected = read_metrics(tested)["cls/accuracy/top1"]
    assert metrics["cls/accuracy/top1"] == pytest.approx(expected)
    assert len(pickle.loads((tmp_path / "cls.pkl").read_bytes())) == 8


@pytest.mark.parametrize(("tasks", "has_mean"), [(["a", "b"], True), (["a"], False)])
def test_the_mean_is_that_of_all_tested_tasks(tasks: list[str], has_mean: bool):
    """A config may test only some of its tasks."""
    tested = dict(a={}, b={})
    mean = {task: dict(metric="top1") for task in tested}
    test = dict(test_dataloader=tested, test_evaluator=tested)
    model = dict(tasks=dict(tested, c={}))
    cfg = Config(dict(test, model=model, test_cfg=dict(mean=mean)))
    select_tasks(cfg, tasks)
    assert list(cfg.test_evaluator) == tasks
    assert ("mean" in cfg.test_cfg) is has_mean


def test_metrics_may_be_more_than_numbers(tmp_path: Path):
    """mmpretrain's ConfusionMatrix is a matrix."""
    values = dict(matrix=torch.eye(2), array=np.arange(2), number=np.float32(0.5))
    write_metrics(dict(values, folder=tmp_path), [tmp_path / "x.json"])
    assert json.loads((tmp_path / "x.json").read_text()) == dict(
        matrix=[[1.0, 0.0], [0.0, 1.0]], array=[0, 1], number=0.5, folder=str(tmp_path)
    )


def test_an_evaluator_that_is_written_out_keeps_its_type(tmp_path: Path):
    metrics = dict(type="Accuracy", ann_file="gone.json")
    cfg = Config(
        dict(
            model=dict(tasks=dict(cls=dict(_scope_="mmpretrain"))),
            test_evaluator=dict(cls=dict(type="Evaluator", metrics=metrics)),
        )
    )
    dump_predictions(cfg, [str(tmp_path / "x.pkl")])
    evaluator = cfg.test_evaluator.cls
    assert evaluator.type == "Evaluator"
    assert [metric.type for metric in evaluator.metrics] == ["Accuracy", "DumpResults"]
    missing = r"`test_evaluator\.cls\.ann_file` is 'gone\.json'"
    with (
        pytest.raises(FileNotFoundError, match=missing),
        name_missing_data(cfg, ["test"]),
    ):
        raise FileNotFoundError


def test_unknown_task(tool_main: Main, run: Run):
    args = [run.config, run.checkpoint, "--task", "dett"]
    code, message = tool_main("test.py", *args)
    assert code == 2
    assert "Did you mean 'det'?" in message


def test_output_of_unknown_kind(tool_main: Main, run: Run):
    args = [run.config, run.checkpoint, "--out", "x.txt"]
    code, message = tool_main("test.py", *args)
    assert code == 2
    assert "FILE.json" in message


def test_missing_checkpoint(tool_main: Main, run: Run):
    code, message = tool_main("test.py", run.config, "gone.pth")
    assert code == 2
    assert "There is no checkpoint 'gone.pth'" in message


@pytest.mark.parametrize("content", [b"no checkpoint", b"PK\x03\x04 cut"])
def test_damaged_checkpoint(tool_main: Main, run: Run, tmp_path: Path, content: bytes):
    (tmp_path / "bad.pth").write_bytes(content)
    code, message = tool_main("test.py", run.config, tmp_path / "bad.pth")
    assert code == 2
    assert "cannot be read as a checkpoint" in message


def change(run: Run, tmp_path: Path, edit: Callable[[dict], None]) -> Path:
    content = torch.load(run.checkpoint, map_location="cpu")
    edit(content)
    torch.save(content, tmp_path / "changed.pth")
    return tmp_path / "changed.pth"


def drop_bank(content: dict) -> None:
    state = content["state_dict"]
    for name in [name for name in state if name.startswith("network.")]:
        del state[name]


def rename_task(content: dict) -> None:
    content["state_dict"] = {
        name.replace("tasks.cls.", "tasks.faces."): value
        for name, value in content["state_dict"].items()
    }


def drop_unit(content: dict) -> None:
    del content["state_dict"]["network.bank.lego.backbone.conv1.units.2.weight"]


def cut_logits(content: dict) -> None:
    state = content["state_dict"]
    state["network.router.logits.det"] = state["network.router.logits.det"][:, :2]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (drop_bank, "it has no lego bank"),
        (rename_task, "it has the tasks faces,"),
        (drop_unit, "1 missing (network.bank.lego.backbone.conv1.units.2.weight)"),
        (cut_logits, "1 of another shape (network.router.logits.det"),
    ],
)
def test_checkpoint_of_another_config(
    tool_main: Main,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[dict], None],
    expected: str,
):
    monkeypatch.chdir(run.folder)
    checkpoint = change(run, tmp_path, edit)
    args = [run.config, checkpoint, "--task", "cls", "--out", tmp_path / "x.pkl"]
    tool = "model_converters/export_task.py"
    code, message = tool_main(tool, *args[:4], "--out", tmp_path / "cls.pth")
    assert code == 2
    assert expected in message
    assert not (tmp_path / "cls.pth").exists()
    assert not (tmp_path / "cls.py").exists()


def test_checkpoint_trained_with_another_router(
    tool_main: Main, run: Run, tmp_path: Path
):
    """Its weights fit, so that nothing but the settings shows the mistake."""
    options = ["model.lego.router.type=gppf_mm.TopKRouter", "model.lego.router.k=2"]
    tool = "model_converters/export_task.py"
    args = ["--task", "cls", "--out", tmp_path / "cls.pth", "--cfg-options", *options]
    code, message = tool_main(tool, run.config, run.checkpoint, *args)
    assert code == 2
    assert "trained with `model.lego.router.type`" in message
    assert "SoftRouter" in message
