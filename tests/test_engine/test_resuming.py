"""What a run refuses to resume from, and what it makes up for when it resumes."""

import multiprocessing
import pickle
import signal
from contextlib import suppress
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import CheckpointLoader
from torch import nn
from torch.utils.data import DataLoader, Dataset

from gppf_mm.datasets.multitask_loader import MultiTaskDataLoader
from gppf_mm.datasets.pool import WorkerPool
from gppf_mm.engine.runner.multitask_eval_loops import _begin_worker
from gppf_mm.engine.runner.resuming import check_resumable, remove_partial
from tests.runs import make_tiny_toy, tiny_config

MODEL = nn.Linear(2, 3)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_toy(tmp_path_factory.mktemp("resuming"))


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def content(**changes: object) -> dict:
    whole = dict(state_dict=MODEL.state_dict(), meta=dict(iter=1), message_hub={})
    whole["optimizer"] = {}
    return {key: item for key, item in {**whole, **changes}.items() if item is not None}


class Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_checkpoint_of_the_model_is_taken(tmp_path: Path):
    torch.save(content(), tmp_path / "x.pth")
    check_resumable(str(tmp_path / "x.pth"), MODEL)
    torch.save(content(param_schedulers=[]), tmp_path / "x.pth")
    check_resumable(str(tmp_path / "x.pth"), MODEL, scheduled=True)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (content(state_dict=nn.Linear(2, 4).state_dict()), r"weight \(4, 2\) instead"),
        (content(state_dict={}), r"another model: 2 missing \(weight, bias\)"),
        (content(state_dict={**MODEL.state_dict(), "x": 1}), r"1 unexpected \(x\)"),
        (content(message_hub=None), "without 'message_hub'"),
        (content(optimizer=None), "has no 'optimizer'.*`load_from`"),
        (content(), "has no 'param_schedulers'.*save_param_scheduler"),
        (MODEL.state_dict(), "without 'state_dict'"),
        ([torch.zeros(2)], "holds a list"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, value: object, message: str):
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message) as error:
        check_resumable(str(tmp_path / "x.pth"), MODEL, scheduled=True)
    assert str(tmp_path / "x.pth") in str(error.value)


OTHER_GROUPS = [dict(params=[MODEL.weight]), dict(params=[MODEL.bias])]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (torch.optim.SGD(MODEL.parameters(), lr=1), "the SGD .*'betas'.*'momentum'"),
        (
            torch.optim.Adam(OTHER_GROUPS),
            r"it has 1 parameter group\(s\) of 2, .* 2 parameter group\(s\) of 1, 1",
        ),
        (torch.optim.Adam([MODEL.weight]), r"of 2, .* 1 parameter group\(s\) of 1"),
    ],
)
def test_another_optimizer_is_refused(
    tmp_path: Path, optimizer: torch.optim.Optimizer, message: str
):
    """PyTorch fails in the first step, or tells numbers alone."""
    saved = torch.optim.Adam(MODEL.parameters()).state_dict()
    torch.save(content(optimizer=saved), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=f"x.pth.*{message}.*`optim_wrapper`"):
        check_resumable(str(tmp_path / "x.pth"), MODEL, optimizer=optimizer)
    same = torch.optim.Adam(MODEL.parameters(), lr=1)
    check_resumable(str(tmp_path / "x.pth"), MODEL, optimizer=same)


def test_the_optimizer_of_a_run_is_compared(tmp_path: Path):
    options = {"train_cfg.max_iters": 1, "train_cfg.val_begin": 9}
    RUNNERS.build(tiny_config(tmp_path, options)).train()
    sgd = dict(type="SGD", lr=0.1)
    cfg = tiny_config(tmp_path, {**options, "train_cfg.max_iters": 2})
    cfg.optim_wrapper.optimizer = sgd
    cfg.resume = True
    with pytest.raises(ValueError, match="another than the SGD of the config"):
        RUNNERS.build(cfg).train()


def test_a_run_that_has_nothing_left_says_so(tmp_path: Path):
    options = {"train_cfg.max_iters": 1, "train_cfg.val_begin": 9}
    RUNNERS.build(tiny_config(tmp_path, options)).train()
    again = RUNNERS.build(tiny_config(tmp_path, {**options, "resume": True}))
    again.train()
    log = Path(again.log_dir, f"{again.timestamp}.log").read_text()
    assert "Nothing is left to train: the checkpoint is of iteration 1" in log


@pytest.mark.parametrize("length", [0, 10, 1000, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, length: int):
    path = tmp_path / "x.pth"
    torch.save(content(), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"x\.pth' cannot be resumed.*cut off"):
        check_resumable(str(path), MODEL)


@pytest.mark.parametrize("bare", [False, True])
def test_code_is_refused_and_not_run(tmp_path: Path, bare: bool):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    if bare:
        path.write_bytes(pickle.dumps(Code(trace)))
    else:
        torch.save(content(extra=Code(trace)), path)
    with pytest.raises(ValueError, match=r"more than weights|no file of torch"):
        check_resumable(str(path), MODEL)
    assert not trace.exists()


def test_a_class_that_is_refused_is_named(tmp_path: Path):
    torch.save(content(extra=ConfigDict(a=1)), tmp_path / "x.pth")
    with pytest.raises(
        ValueError, match=r"is whole, but .*: mmengine\S+ConfigDict"
    ) as e:
        check_resumable(str(tmp_path / "x.pth"), MODEL)
    # Nothing is broken, so nothing need go.
    assert "Remove" not in str(e.value)


def test_halves_are_removed(tmp_path: Path):
    for name in ("iter_2.pth", "iter_4.pth.partial", "best_x.pth.partial", "a.partial"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"iter_2.pth", "a.partial"}


def test_tasks_in_another_order_are_refused(tmp_path: Path):
    def model(*tasks: str) -> nn.Module:
        return nn.ModuleDict(
            dict(tasks=nn.ModuleDict({task: nn.Linear(2, 2) for task in tasks}))
        )

    saved = model("seg", "det").state_dict()
    torch.save(content(state_dict=saved), tmp_path / "x.pth")
    check_resumable(str(tmp_path / "x.pth"), model("seg", "det"))
    with pytest.raises(ValueError, match=r"in another order, \['seg', 'det'\]"):
        check_resumable(str(tmp_path / "x.pth"), model("det", "seg"))


def test_the_config_of_the_work_dir_resumes_bit_by_bit(tmp_path: Path):
    """MMEngine has sorted its keys."""
    options = {"train_cfg.max_iters": 4, "default_hooks.checkpoint.interval": 2}
    cfg = tiny_config(tmp_path, options)
    RUNNERS.build(cfg).train()
    whole = torch.load(tmp_path / "iter_4.pth", weights_only=False)

    dumped = Config.fromfile(next(tmp_path.glob("*.py")))
    assert list(dumped.model.tasks) != list(cfg.model.tasks)
    dumped.update(
        resume=True, load_from=str(tmp_path / "iter_2.pth"), work_dir=f"{tmp_path}/new"
    )
    RUNNERS.build(dumped).train()
    resumed = torch.load(tmp_path / "new/iter_4.pth", weights_only=False)
    for part in ("state_dict", "optimizer"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


@HOOKS.register_module(force=True)
class Validations(Hook):
    """Notes the iterations that are validated, and may stop the run in one."""

    def __init__(self, stop_at: int = 0) -> None:
        self.stop_at = stop_at
        self.seen: list[int] = []

    def before_val_epoch(self, runner) -> None:
        self.seen.append(runner.iter)
        if runner.iter == self.stop_at:
            raise ZeroDivisionError


def test_a_run_resumed_from_before_a_validation_makes_up_for_it(tmp_path: Path):
    def run(resume: str, stop_at: int = 0) -> list[int]:
        options = {
            "train_cfg.max_iters": 2,
            "train_cfg.val_interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "custom_hooks": [dict(type="Validations", stop_at=stop_at)],
            "resume": bool(resume),
            "load_from": str(tmp_path / resume) if resume else None,
        }
        runner = RUNNERS.build(tiny_config(tmp_path, options))
        with suppress(ZeroDivisionError):
            runner.train()
        return next(h for h in runner.hooks if isinstance(h, Validations)).seen

    assert run("", stop_at=2) == [1, 2]
    assert run("iter_2.pth") == [2]
    # This one was saved again, with its score.
    assert run("iter_1.pth") == [2]


def test_a_checkpoint_on_a_storage_backend_is_resumed_from(tmp_path: Path):
    def fetch(filename: str, map_location: str | None = None) -> dict:
        return torch.load(tmp_path / filename.removeprefix("far://"), map_location)

    def run(resume: bool) -> list[int]:
        options = {
            "train_cfg.max_iters": 2,
            "train_cfg.val_interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "custom_hooks": [dict(type="Validations")],
            "resume": resume,
        }
        runner = RUNNERS.build(tiny_config(tmp_path, options))
        runner.train()
        return next(h for h in runner.hooks if isinstance(h, Validations)).seen

    assert run(resume=False) == [1, 2]
    CheckpointLoader.register_scheme("far://", fetch, force=True)
    (tmp_path / "last_checkpoint").write_text("far://iter_1.pth")
    assert run(resume=True) == [2]
    saved = torch.load(tmp_path / "iter_1.pth")
    del saved["optimizer"]
    torch.save(saved, tmp_path / "iter_1.pth")
    (tmp_path / "last_checkpoint").write_text("far://iter_1.pth")
    with pytest.raises(ValueError, match=r"'far://iter_1\.pth'.*has no 'optimizer'"):
        run(resume=True)


def test_a_run_that_fails_leaves_no_workers(tmp_path: Path):
    """Workers ignore SIGTERM, and a process waits at its end for those it has."""
    options = {
        "train_cfg.num_workers": 2,
        "train_cfg.val_interval": 1,
        "custom_hooks": [dict(type="Validations", stop_at=1)],
    }
    runner = RUNNERS.build(tiny_config(tmp_path, options))
    with pytest.raises(ZeroDivisionError):
        runner.train()
    assert active_children() == []


class Slow(Dataset):
    """Tells the worker that loads the first sample to end, from another process."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        if index == 0:
            import os

            kill = multiprocessing.get_context("fork").Process(
                target=os.kill, args=(os.getpid(), 15)
            )
            multiprocessing.current_process()._config["daemon"] = False
            kill.start()
            kill.join()
        return index


def test_a_signal_to_the_job_ends_no_worker_of_a_validation():
    """A scheduler sends SIGTERM to every process of a job."""
    start = partial(_begin_worker, None)
    loader = DataLoader(Slow(), num_workers=1, worker_init_fn=start)
    assert [int(item) for item in loader] == [0, 1]
    # Its parent can still end it.
    batches = iter(loader)
    next(batches)
    (worker,) = active_children()
    worker.terminate()
    worker.join(5)
    assert worker.exitcode == 0


def note_held(file: Path, worker: int) -> None:
    """Write the signals that a worker holds back when it starts."""
    file.write_text(repr(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))))


@pytest.mark.parametrize("loader", ["train", "val"])
def test_a_signal_ends_no_worker_that_is_just_starting(tmp_path: Path, loader: str):
    file = tmp_path / "held"
    start = partial(note_held, file)
    if loader == "val":
        stock = DataLoader(range(2), num_workers=1, worker_init_fn=start)
        list(MultiTaskDataLoader({"task": stock}))
    else:
        pool = WorkerPool(num_workers=1, init_fns=[start])
        list(pool.run(range(2), range(2)))
    assert file.read_text() == repr([signal.SIGINT, signal.SIGTERM])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
