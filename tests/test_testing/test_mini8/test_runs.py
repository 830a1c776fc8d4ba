"""A tiny fine-tuning run: it is stopped, goes on, and is done once."""

import fcntl
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from gppf_mm.testing import mini8_experiment
from gppf_mm.testing.mini8 import Bench, Devices, do_runs, sections
from gppf_mm.testing.mini8.history import LossHistory, read_history
from gppf_mm.testing.mini8.run import BUSY, Run
from tests.mini8_data import make_tiny

CONFIGS = Path(__file__).parents[3] / "configs/mini8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    variant = sections()["transfer"]["scratch~100%"]
    bench = Bench(CONFIGS, tmp_path, iterations=8)
    run = bench.run_of(variant, "test", 0, 1e-3)
    cfg = run.parts["heldout"]
    cfg.train_dataloader.batch_size = 4
    run.prepare()
    return run


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_is_done_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    stock = LossHistory.after_train_iter

    def stop(self, runner, *args, **kwargs):
        if runner.iter == 5:
            raise KeyboardInterrupt
        stock(self, runner, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(LossHistory, "after_train_iter", stop)
        with pytest.raises(KeyboardInterrupt):
            mini8_experiment.main(run.folder, 0)
    assert run.result() is None

    trained = []

    def note(self, runner, *args, **kwargs):
        trained.append(runner.iter)
        stock(self, runner, *args, **kwargs)

    monkeypatch.setattr(LossHistory, "after_train_iter", note)
    assert mini8_experiment.main(run.folder, 0) == 0
    # The last checkpoint is that of 4 iterations.
    assert trained == [4, 5, 6, 7]
    result = run.result()
    assert [i for i, _ in result["losses"]["heldout"]] == list(range(8))
    assert 0 <= result["metrics"]["heldout"] <= 100
    assert (result["lr"], result["seed"], result["digest"]) == (1e-3, 0, run.digest)
    assert not result["diverged"]

    def refuse(*args, **kwargs):
        raise AssertionError("a run that is done was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert do_runs([run], Devices()) == []


def test_a_run_that_another_process_has_is_left_to_it(run: Run):
    with (run.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert mini8_experiment.main(run.folder, 0) == BUSY
    assert run.result() is None


def test_a_run_that_another_process_has_done_stays_as_it_is(run: Run):
    part = dict(metrics={}, losses={}, diverged=False)
    part |= dict(iterations=8, train_seconds=1.0, test_seconds=1.0)
    (run.folder / "heldout").mkdir()
    (run.folder / "heldout/part.json").write_text(json.dumps(part))
    (run.folder / "result.json").write_text(json.dumps(dict(device="H100")))
    assert mini8_experiment.main(run.folder, 0) == 0
    assert run.result() == dict(device="H100")


def test_a_failed_run_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch):
    # Nothing to run in there: the process ends at once.
    import sys

    monkeypatch.setattr(sys, "executable", "false")
    assert do_runs([run], Devices(jobs=2)) == [run]


def test_history_counts_an_iteration_once(tmp_path: Path):
    path = tmp_path / "losses.jsonl"
    rows = [[0, 0.5, dict(a=3.0)], [1, 0.5, dict(a=2.0)], [1, 0.25, dict(a=1.0)]]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + '[2, 0.5, {"a"')
    losses, seconds, count = read_history(path)
    assert losses == dict(a=[[0, 3.0], [1, 1.0]])
    assert (seconds, count) == (0.75, 2)


def test_history_is_written_with_every_checkpoint(tmp_path: Path):
    """That of a stopped run too, which is saved between two others."""
    path = tmp_path / "losses.jsonl"
    stopped = LossHistory(path)
    for iteration in range(3):
        outputs = {"loss": 3.0, "a/loss": 2.0, "a/bbox/loss": 1.0}
        runner = SimpleNamespace(iter=iteration)
        stopped.after_train_iter(runner, iteration, outputs=outputs)
    stopped.before_save_checkpoint(runner, {})
    losses, _, count = read_history(path)
    assert (losses, count) == (dict(a=[[i, 2.0] for i in range(3)]), 3)


@pytest.mark.parametrize("option", ["seeds", "iterations"])
def test_a_benchmark_of_nothing_is_refused(option: str, tmp_path: Path):
    with pytest.raises(ValueError, match=f"`--{option}` is 0; expected at least 1"):
        Bench(CONFIGS, tmp_path, **{option: 0})


def test_a_held_out_set_without_a_config_is_refused_before_the_runs(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"`--heldout` is 'pets.py'.*heldout-"):
        Bench(CONFIGS, tmp_path, heldout=Path("pets.py"))
