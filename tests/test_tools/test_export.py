"""Exported tasks in their stock libraries, in a process that has no gppf_mm."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.structures import BaseDataElement

from .conftest import Evaluation, Run, run_tool

TASKS = ("det", "seg", "cls")
TOLERANCE = 1e-5

# Runs the stock test of every exported task and keeps predictions and metrics.
STOCK_TEST = """
import json, pathlib, sys
sys.modules["gppf_mm"] = None
import torch
from mmengine.config import Config
from mmengine.runner import Runner

metrics = {}
for task in sys.argv[1:]:
    cfg = Config.fromfile(f"{task}.py")
    cfg.merge_from_dict(dict(
        work_dir=f"stock_{task}", experiment_name=task, load_from=f"{task}.pth"))
    content = torch.load(f"{task}.pth", weights_only=True)
    runner = Runner.from_cfg(cfg)
    runner.model.load_state_dict(content["state_dict"], strict=True)
    dump = dict(_scope_="mmengine", type="DumpResults", out_file_path=f"{task}.pkl")
    evaluator = cfg.test_evaluator
    runner._test_evaluator = [evaluator, dump]
    metrics[task] = runner.test()
json.dump(metrics, open("metrics.json", "w"), default=float)

from mmdet.apis import init_detector
from mmpretrain import get_model
from mmseg.apis import inference_model, init_model
models = dict(
    det=init_detector("det.py", "det.pth", device="cpu"),
    seg=init_model("seg.py", "seg.pth", device="cpu"),
    cls=get_model("cls.py", pretrained="cls.pth"))
models["cls"].dataset_meta = models["cls"]._dataset_meta
classes = {task: list(model.dataset_meta["classes"]) for task, model in models.items()}
json.dump(classes, open("classes.json", "w"))
image = sorted(pathlib.Path("data/toy/seg/img/val").iterdir())[0]
found = inference_model(models["seg"], str(image)).pred_sem_seg.data
torch.save(found, "inferred_seg.pt")
assert not [name for name in sys.modules if name.startswith("gppf_mm.")]
"""


@pytest.fixture(scope="module")
def exported(run: Run) -> Path:
    """Export all three tasks and test them with their stock libraries."""
    from gppf_mm.apis import load_config
    from gppf_mm.export import export_task

    folder = run.folder / "exported"
    run_tool(
        run.folder,
        "model_converters/export_task.py",
        run.config,
        run.checkpoint,
        "--task=det",
        f"--out={folder / 'det.pth'}",
    )
    for task in ("seg", "cls"):
        cfg = load_config(run.config)
        export_task(cfg, run.checkpoint, task, folder / f"{task}.pth")
    assert len(list(folder.iterdir())) == 6  # Nothing but three pairs of files.
    (folder / "data").symlink_to(run.folder / "data")
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-c", STOCK_TEST, *TASKS],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder


def tensors(prediction: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all numbers of a dumped prediction, whatever its library's layout."""
    if isinstance(prediction, BaseDataElement):
        prediction = prediction.to_dict()
    if isinstance(prediction, dict):
        for key in sorted(prediction):
            yield from tensors(prediction[key], f"{name}.{key}")
    elif isinstance(prediction, (list, tuple)):
        for index, item in enumerate(prediction):
            yield from tensors(item, f"{name}.{index}")
    elif isinstance(prediction, torch.Tensor):
        yield name, prediction


def is_prediction(name: str) -> bool:
    return ".pred_" in name or ".seg_logits" in name


@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_those_made_inside(
    task: str, exported: Path, tested: Evaluation
):
    inside = pickle.loads((tested.folder / f"predictions_{task}.pkl").read_bytes())
    outside = pickle.loads((exported / f"{task}.pkl").read_bytes())
    assert len(inside) == len(outside) == 8
    compared = 0
    for ours, theirs in zip(inside, outside, strict=True):
        ours, theirs = dict(tensors(ours)), dict(tensors(theirs))
        predicted = {name for name in ours if is_prediction(name)}
        assert predicted == {name for name in theirs if is_prediction(name)}
        for name in predicted:
            torch.testing.assert_close(
                theirs[name], ours[name], rtol=TOLERANCE, atol=TOLERANCE
            )
            compared += ours[name].numel()
    assert compared > 0


@pytest.mark.parametrize("task", TASKS)
def test_metrics_are_those_measured_inside(
    task: str, exported: Path, tested: Evaluation
):
    inside = json.loads((tested.folder / "metrics.json").read_text())
    outside = json.loads((exported / "metrics.json").read_text())[task]
    assert outside
    assert outside == {name: inside[f"{task}/{name}"] for name in outside}


def test_inference_functions_know_the_classes(exported: Path, run: Run):
    manifest = json.loads((run.folder / "data/toy/manifest.json").read_text())
    classes = json.loads((exported / "classes.json").read_text())
    assert classes == {task: manifest["tasks"][task]["classes"] for task in TASKS}


def test_the_librarys_own_inference_predicts_the_same(exported: Path):
    """Of mmseg, which looks for a pipeline by a name of its own."""
    tested = pickle.loads((exported / "seg.pkl").read_bytes())[0]
    inferred = torch.load(exported / "inferred_seg.pt", weights_only=True)
    assert torch.equal(inferred, tested["pred_sem_seg"]["data"])


def test_a_config_of_several_tasks_needs_one(tool_main, run: Run, tmp_path: Path):
    tool = "model_converters/export_task.py"
    code, message = tool_main(
        tool, run.config, run.checkpoint, "--out", tmp_path / "x.pth"
    )
    assert code == 2
    assert "`--task` is missing" in message
    # MMEngine sorts the keys of the config that a run writes.
    assert all(repr(task) in message for task in TASKS)


def test_unknown_task(tool_main, run: Run, tmp_path: Path):
    args = ["--task", "sge", "--out", tmp_path / "x.pth"]
    tool = "model_converters/export_task.py"
    code, message = tool_main(tool, run.config, run.checkpoint, *args)
    assert code == 2
    assert "Did you mean 'seg'?" in message


@pytest.mark.parametrize("name", ["x.py", "x", "x.v1.pth"])
def test_output_that_has_no_room_for_a_config(
    tool_main, run: Run, tmp_path: Path, name: str
):
    args = ["--task", "seg", "--out", tmp_path / name]
    tool = "model_converters/export_task.py"
    code, message = tool_main(tool, run.config, run.checkpoint, *args)
    assert code == 2
    assert "ends in .pth" in message


def test_nothing_is_written_if_the_stock_model_refuses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A lost weight must not come out as a file; an older export stays."""
    from gppf_mm.apis import load_config
    from gppf_mm.export import export_task, task

    def lose_one(model, name):
        state = original(model, name)
        state.popitem()
        return state

    original = task.export_state_dict
    monkeypatch.setattr(task, "export_state_dict", lose_one)
    (tmp_path / "cls.pth").write_text("older")
    (tmp_path / "cls.py").write_text("# A task: weights in cls.pth.\n")
    with pytest.raises(ValueError, match="do not fit the stock model"):
        export_task(
            load_config(run.config), run.checkpoint, "cls", tmp_path / "cls.pth"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cls.pth", "cls.py"]
    assert (tmp_path / "cls.pth").read_text() == "older"
