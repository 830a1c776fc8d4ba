"""Short runs of the toy recipe, for the tests of the engine."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from gppf_mm.datasets.toy import make_toy

REPO = Path(__file__).parents[1]
CONFIG = REPO / "configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py"

TINY = {
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "train_cfg.num_workers": 0,
    "train_dataloader.det.batch_size": 2,
    "train_dataloader.seg.batch_size": 2,
    "train_dataloader.cls.batch_size": 4,
    "default_hooks.logger.interval": 1,
    "default_hooks.checkpoint.interval": 2,
    "val_dataloader.det.num_workers": 0,
    "val_dataloader.seg.num_workers": 0,
    "val_dataloader.cls.num_workers": 0,
    "val_dataloader.det.persistent_workers": False,
    "val_dataloader.seg.persistent_workers": False,
    "val_dataloader.cls.persistent_workers": False,
}


def make_tiny_toy(folder: Path) -> Path:
    """Write a tiny toy set where a run in `folder` looks for it; return `folder`."""
    make_toy(folder / "data/toy", num_train=16, num_val=8)
    return folder


def tiny_config(work_dir: Path, options: dict | None = None) -> Config:
    """Return the toy recipe, cut down to a few iterations of a few images.

    Its text is not formatted, which would take a third of such a run.
    """
    content = Config.fromfile(CONFIG).to_dict()
    cfg = Config(content, filename=str(CONFIG), format_python_code=False)
    cfg.merge_from_dict({**TINY, **(options or {})})
    cfg.work_dir = str(work_dir)
    return cfg


def write_config(cfg: Config, folder: Path) -> Path:
    """Write a config where a tool can read it."""
    path = folder / "config.py"
    cfg.dump(path)
    return path


def tool(args: Sequence[str | Path], cwd: Path) -> subprocess.Popen:
    """Start one of the repository's tools, with output to a pipe."""
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
