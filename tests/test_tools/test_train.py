import re
import runpy
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.registry import DATASETS
from mmengine.utils import mkdir_or_exist

from tests.runs import CONFIG, REPO, tool

from .conftest import Run

Main = Callable[..., tuple[int, str]]
DRAW_VALIDATION = [
    "default_hooks.visualization.type=gppf_mm.MultiTaskVisualizationHook",
    "default_hooks.visualization.draw_val=True",
    "default_hooks.visualization.interval=5",
]


def test_work_dir_is_named_like_the_config_and_complete(run: Run):
    names = {path.name for path in run.work_dir.iterdir()}
    assert {"iter_4.pth", "last_checkpoint", "config.py"} <= names
    assert any(name.startswith("best_mean") for name in names)
    assert not any(name.endswith(".partial") for name in names)


def test_every_iteration_logs_every_task(run: Run):
    lines = [line for line in run.output.splitlines() if "Iter(train)" in line]
    assert len(lines) == 4
    for line in lines:
        assert all(f"{task}/loss" in line for task in ("det", "seg", "cls"))


def test_resume_goes_on_after_the_named_checkpoint(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(run.folder)
    options = [f"--resume={run.work_dir / 'iter_2.pth'}", f"--work-dir={tmp_path}"]
    path = str(REPO / "tools/train.py")
    command = [path, str(run.config), *options, "--cfg-options", *DRAW_VALIDATION]
    monkeypatch.setattr("sys.argv", command)
    runpy.run_path(path, run_name="__main__")
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert re.findall(r"Iter\(train\) \[(\d)/4\]", log) == ["3", "4"]
    assert (tmp_path / "iter_4.pth").is_file()
    for task in ("det", "seg", "cls"):
        # Every fifth of eight images.
        assert len(list(tmp_path.glob(f"*/vis/iter_4/{task}/*.png"))) == 2


@pytest.mark.slow
def test_interrupt_ends_with_130_and_says_how_to_go_on(run: Run, tmp_path: Path):
    process = tool(
        [
            REPO / "tools/train.py",
            run.config,
            f"--work-dir={tmp_path}",
            "--cfg-options",
            "train_cfg.max_iters=500",
            "train_cfg.val_interval=500",
        ],
        cwd=run.folder,
    )
    output = ""
    for line in process.stdout:
        output += line
        if "Iter(train)" in line:
            process.send_signal(signal.SIGINT)
            break
    output += process.communicate(timeout=60)[0]
    assert process.returncode == 130, output[-3000:]
    assert "Traceback" not in output
    command = output.strip().splitlines()[-1]
    assert command.startswith("Interrupted. To go on: python ")
    assert command.endswith("train_cfg.val_interval=500 --resume")


def test_config_that_does_not_exist(tool_main: Main, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPO)
    code, message = tool_main("train.py", f"{CONFIG.with_suffix('')}s.py")
    assert code == 2
    assert "There is no config file" in message
    assert CONFIG.name in message.partition("Did you mean")[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", "has no `model`"),
        ("model = dict(type='RetinaNet')", "is not a multi-task config"),
        ("model = dict(tasks=dict(", "cannot be read"),
        ("_base_ = 'gone.py'", "gone.py"),
    ],
)
def test_config_that_is_none(tool_main: Main, tmp_path: Path, text: str, expected: str):
    (tmp_path / "config.py").write_text(text)
    code, message = tool_main("train.py", tmp_path / "config.py")
    assert code == 2
    assert expected in message
    assert "Traceback" not in message


def test_missing_data_names_key_and_converter(
    tool_main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code, message = tool_main("train.py", CONFIG)
    assert code == 2
    assert "`train_dataloader.det.dataset.data_root` is 'data/toy/det/'" in message
    assert "tools/dataset_converters/toy.py --out data/toy" in message


def test_unknown_argument_of_a_type_is_a_mistake(
    tool_main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    option = "model.tasks.cls.neck.kk=2"
    code, message = tool_main("train.py", CONFIG, "--cfg-options", option)
    assert code == 2
    assert "`model.tasks.cls` cannot be built" in message
    assert "'kk'" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_amp_needs_a_device(tool_main: Main):
    code, message = tool_main("train.py", CONFIG, "--amp")
    assert code == 2
    assert "CUDA" in message


def test_auto_scale_lr_needs_a_base(tool_main: Main):
    code, message = tool_main("train.py", CONFIG, "--auto-scale-lr")
    assert code == 2
    assert "auto_scale_lr.base_batch_size" in message


def test_resume_from_a_file_that_does_not_exist(tool_main: Main):
    code, message = tool_main("train.py", CONFIG, "--resume", "gone.pth")
    assert code == 2
    assert "'gone.pth'" in message


def test_weights_that_do_not_exist_are_named_before_anything_is_built(tool_main: Main):
    code, message = tool_main("train.py", CONFIG, "--cfg-options", "load_from=gone.pth")
    assert code == 2
    assert "no checkpoint 'gone.pth'" in message


def test_full_disk_is_no_bug(capsys: pytest.CaptureFixture[str]):
    from gppf_mm.apis import kind_errors

    # A device that is always full, for whoever writes to it.
    with pytest.raises(SystemExit, match="2"), kind_errors():
        Path("/dev/full").write_text("a log")
    assert "No space left on device. Make room" in capsys.readouterr().err


def test_a_file_where_a_folder_is_to_be_is_no_bug(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    from gppf_mm.apis import kind_errors

    taken = tmp_path / "notes.txt"
    taken.write_text("mine")
    with pytest.raises(SystemExit, match="2"), kind_errors():
        mkdir_or_exist(taken)  # As MMEngine makes a work dir.
    message = capsys.readouterr().err
    assert f"{str(taken)!r} cannot be used: File exists. Name another one" in message
    assert taken.read_text() == "mine"


def test_bug_keeps_its_traceback():
    from gppf_mm.apis import kind_errors

    with pytest.raises(ZeroDivisionError), kind_errors():
        _ = 1 / 0


class Base:
    def __init__(self, root: str) -> None:
        self.root = root


class HandsOn(Base):
    def __init__(self, slip: bool = False, **others: str) -> None:
        super().__init__(**others, **({"typo": 1} if slip else {}))


def test_an_argument_that_a_base_class_does_not_take(
    capsys: pytest.CaptureFixture[str],
):
    from gppf_mm.apis import kind_errors

    with pytest.raises(SystemExit, match="2"), kind_errors():
        DATASETS.build(dict(type=HandsOn, root="x", split="train"))
    assert "has for HandsOn. Remove 'split'" in capsys.readouterr().err
    # One that the config does not have is a bug of the class.
    with pytest.raises(TypeError, match="typo"), kind_errors():
        DATASETS.build(dict(type=HandsOn, root="x", slip=True))


def test_dist_script_passes_options_on(tmp_path: Path):
    """The launcher that the script starts is replaced by one that prints."""
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    script = REPO / "tools/dist_train.sh"
    args = ["my config.py", "2", "--cfg-options", "a='[1, 2]'"]
    printed = subprocess.run(
        ["bash", script, *args],
        env=dict(PATH="/usr/bin:/bin", PYTHON=str(fake), PORT="1234"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert printed[:2] == ["-m", "torch.distributed.run"]
    assert "--master_port=1234" in printed
    assert "--nproc_per_node=2" in printed
    start = printed.index(str(REPO / "tools/train.py"))
    assert printed[start + 1 :] == [
        "my config.py",
        "--launcher",
        "pytorch",
        "--cfg-options",
        "a='[1, 2]'",
    ]
