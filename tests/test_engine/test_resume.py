"""A killed run, resumed, ends bit by bit where the uninterrupted run ends."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.runs import REPO, make_tiny_toy, tiny_config, tool, write_config

ITERS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_toy(tmp_path_factory.mktemp("resume"))
    options = {
        "train_cfg.max_iters": ITERS,
        "train_cfg.val_interval": 5,
        "train_cfg.num_workers": 2,
        "default_hooks.checkpoint.interval": 3,
        # Noise in the routes and in the heads, and state in the optimizer.
        "model.lego.router": dict(
            type="gppf_mm.GumbelTopKRouter", k=2, anneal_iters=100, group="block"
        ),
        "custom_hooks": [dict(type="EMAHook", momentum=0.1)],
        # Logits, an optimizer and losses of its own.
        "model.weighting": dict(type="FAMO", lr=0.1),
    }
    write_config(tiny_config(folder / "unused", options), folder)
    return folder


def start(folder: Path, work_dir: str, *args: str):
    return tool(
        [
            REPO / "tools/train.py",
            folder / "config.py",
            "--work-dir",
            folder / work_dir,
            *args,
        ],
        folder,
    )


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> dict:
    run = start(folder, "whole")
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    return load(folder, "whole")


def load(folder: Path, work_dir: str) -> dict:
    return torch.load(folder / work_dir / f"iter_{ITERS}.pth", weights_only=True)


def wait_for(path: Path, run: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not path.exists() and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(folder: Path, work_dir: str) -> dict:
    run = start(folder, work_dir, "--resume")
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    assert "resumed epoch: 0, iter:" in output
    return load(folder, work_dir)


def assert_bit_equal(resumed: dict, uninterrupted: dict) -> None:
    for part in ("state_dict", "ema_state_dict"):
        for name, value in uninterrupted[part].items():
            other = resumed[part][name]
            tensor = isinstance(value, torch.Tensor)
            same = torch.equal(other, value) if tensor else str(other) == str(value)
            assert same, f"{part}: {name}"
    for key, state in uninterrupted["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(resumed["optimizer"]["state"][key][name], value)


@pytest.mark.slow
def test_resumed_after_kill_is_bit_equal(folder: Path, uninterrupted: dict):
    run = start(folder, "killed")
    wait_for(folder / "killed/iter_6.pth", run)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not (folder / f"killed/iter_{ITERS}.pth").exists()
    assert_bit_equal(finish(folder, "killed"), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_told_to_stop_saves_its_last_step(
    folder: Path, uninterrupted: dict, number: signal.Signals
):
    run = start(folder, number.name)
    wait_for(folder / number.name / "iter_3.pth", run)
    # A terminal and a scheduler tell all processes of a job, the loader's too.
    os.killpg(run.pid, number)
    output = run.communicate(timeout=120)[0]
    assert run.returncode == 128 + number, output
    assert "Traceback" not in output
    saved = int(output.partition(f"{number.name}: saving checkpoint at ")[2].split()[0])
    noted = Path((folder / number.name / "last_checkpoint").read_text())
    assert noted.name == f"iter_{saved}.pth"
    assert 3 <= saved < ITERS
    assert_bit_equal(finish(folder, number.name), uninterrupted)
