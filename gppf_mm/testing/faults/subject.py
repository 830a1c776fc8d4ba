"""The run that is disturbed: small, with all that a checkpoint has to hold."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from gppf_mm.datasets.toy import make_toy

_OPTIONS: dict[str, Any] = {
    "train_cfg.max_iters": 12,
    "train_cfg.val_interval": 4,
    "train_cfg.num_workers": 2,
    "train_dataloader.det.batch_size": 2,
    "train_dataloader.seg.batch_size": 2,
    "train_dataloader.cls.batch_size": 4,
    # One set has a worker in validation; more would only wait for the cores.
    "val_dataloader.det.num_workers": 0,
    "val_dataloader.det.persistent_workers": False,
    "val_dataloader.seg.num_workers": 0,
    "val_dataloader.seg.persistent_workers": False,
    "val_dataloader.cls.num_workers": 1,
    "default_hooks.logger.interval": 1,
    # Every other checkpoint is written just before a validation.
    "default_hooks.checkpoint.interval": 2,
    # Noise in the routes; the heads have dropout, the pipelines random flips.
    "model.lego.router": dict(
        type="gppf_mm.GumbelTopKRouter", k=2, anneal_iters=100, group="block"
    ),
    # Moments of the gradients, and a rate that changes with every step.
    "optim_wrapper.optimizer": dict(
        _delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4
    ),
    "param_scheduler": [
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=6),
        dict(type="PolyLR", power=0.9, by_epoch=False, begin=6, end=12),
    ],
    "custom_hooks": [
        dict(type="EMAHook", momentum=0.1),
        dict(type="gppf_mm.TraceHook"),
    ],
    "custom_imports": dict(imports=["gppf_mm.testing.faults.trace"]),
}
ITERATIONS: int = _OPTIONS["train_cfg.max_iters"]


def write_subject(folder: Path, config: Path) -> Path:
    """Write a toy set and a short run of its recipe over it.

    Detection, segmentation and classification in stock formats, with stock models,
    loader workers, an exponential moving average, momentum, Gumbel noise in the router
    and a checkpoint every other step.

    Args:
        folder: Where to write; the run has to start in it.
        config: ``configs/toy/lego-r18-4u-soft_toy-det-seg-cls.py``.

    Returns:
        The config file of the run.
    """
    make_toy(folder / "data/toy", num_train=16, num_val=8)
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(_OPTIONS)
    path = folder / "config.py"
    cfg.dump(path)
    return path
