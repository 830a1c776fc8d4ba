"""Does one run of the mini8 benchmark, as ``python -m`` this module, folder, workers.

The folder is what `mini8.Run.prepare` made. The run goes on from its last checkpoint if
it has one, and writes ``result.json`` at its end.
"""

import fcntl
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from gppf_mm.engine.runner.checkpoints import replace_file
from gppf_mm.registry import RUNNERS
from gppf_mm.testing.frugal import keep_memory
from gppf_mm.testing.mini8.history import LossHistory, read_history
from gppf_mm.testing.mini8.run import BUSY
from gppf_mm.testing.mini8.tasks import METRICS, TASKS
from gppf_mm.utils.serialization import allow_checkpoint_types
from gppf_mm.version import __version__


def main(folder: Path, num_workers: int) -> int:
    """Do a run.

    Args:
        folder: Its folder.
        num_workers: Worker processes that load images.

    Returns:
        The exit code.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        if (folder / "result.json").is_file():
            return 0  # Another process has done it while this one waited.
        warnings.simplefilter("ignore")
        allow_checkpoint_types()
        # Both save time on a CPU: page faults, and arithmetic on numbers next to 0.
        keep_memory()
        torch.set_flush_denormal(True)
        run = json.loads((folder / "run.json").read_text())
        parts = [do_part(folder, name, num_workers) for name in run["parts"]]
        _write(folder / "result.json", run | _machine() | _joined(parts))
    return 0


def do_part(folder: Path, name: str, num_workers: int) -> dict[str, Any]:
    """Train and test one config, unless that is done.

    Args:
        folder: The run's folder, with the config.
        name: Its name: a task, or ``all``.
        num_workers: Worker processes that load images.

    Returns:
        Metrics in per cent by task, losses, seconds.
    """
    done = folder / name / "part.json"
    if done.is_file():
        return json.loads(done.read_text())
    cfg = Config.fromfile(folder / f"{name}.py")
    cfg.work_dir = str(folder / name)
    cfg.resume = True
    history = folder / name / "losses.jsonl"
    history.parent.mkdir(exist_ok=True)
    task = None if "runner_type" in cfg else name
    _use_workers(cfg, num_workers, task)
    runner = Runner.from_cfg(cfg) if task else RUNNERS.build(cfg)
    runner.register_hook(LossHistory(history, task))
    metrics: Mapping[str, Any] = {}
    diverged, started = False, time.monotonic()
    try:
        runner.train()
        started = time.monotonic()
        metrics = runner.test()
    except FloatingPointError as error:
        runner.logger.warning(str(error))
        diverged = True
    losses, seconds, iterations = read_history(history)
    part = dict(
        metrics={} if diverged else _points(metrics, task),
        losses=losses,
        iterations=iterations,
        train_seconds=round(seconds, 1),
        test_seconds=round(time.monotonic() - started, 1),
        diverged=diverged,
    )
    _write(done, part)
    return part


def _use_workers(cfg: Config, num_workers: int, task: str | None) -> None:
    if not num_workers:
        return
    if task is None:
        cfg.train_cfg.num_workers = num_workers
    else:
        cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=True)


def _points(metrics: Mapping[str, Any], task: str | None) -> dict[str, float]:
    """Return each task's metric in per cent; mmdet's are fractions."""
    found = {}
    for name in [task] if task else TASKS:
        key = METRICS[name] if task else f"{name}/{METRICS[name]}"
        # mmdet reports nothing at all where nothing was detected.
        value = float(metrics.get(key, 0.0))
        found[name] = round(value * (100 if "mAP_50" in key else 1), 3)
    return found


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for key in ("metrics", "losses"):
        joined[key] = {k: v for part in parts for k, v in part[key].items()}
    for key in ("iterations", "train_seconds", "test_seconds"):
        joined[key] = round(sum(part[key] for part in parts), 1)
    joined["diverged"] = any(part["diverged"] for part in parts)
    return joined


def _machine() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return dict(
        device=torch.cuda.get_device_name() if cuda else "cpu",
        machine=f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads",
        versions=dict(
            gppf_mm=__version__, torch=torch.__version__, mmengine=mmengine.__version__
        ),
        finished=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content) + "\n")
    replace_file(str(partial), str(path))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
