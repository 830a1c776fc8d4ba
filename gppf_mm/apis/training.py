"""The training options that every OpenMMLab project knows."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.remote import is_remote

AUTO = "auto"


def enable_amp(cfg: Config) -> None:
    """Train with automatic mixed precision.

    Args:
        cfg: The config, changed in place.

    Raises:
        ValueError: If there is no accelerator, or the config's optimizer wrapper is
            not one that has a mixed-precision twin.
    """
    if get_device() in ("cpu", "mps"):
        raise ValueError(
            f"--amp needs a CUDA device, and the device here is {get_device()!r}; "
            "MMEngine's AmpOptimWrapper runs on nothing less. Leave --amp out."
        )
    wrapper = cfg.optim_wrapper
    found = wrapper.get("type", "OptimWrapper")
    if class_name(found) not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ValueError(
            f"--amp makes an AmpOptimWrapper of an OptimWrapper, but "
            f"`optim_wrapper.type` is {found!r}. Leave --amp out, or set mixed "
            "precision in the config."
        )
    wrapper.type = "AmpOptimWrapper"
    wrapper.setdefault("loss_scale", "dynamic")


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate by the batch size of all tasks and ranks.

    Args:
        cfg: The config, changed in place.

    Raises:
        ValueError: If the config does not say for which batch size its learning rate
            was meant.
    """
    auto_scale_lr = cfg.get("auto_scale_lr") or {}
    if not auto_scale_lr.get("base_batch_size"):
        raise ValueError(
            "--auto-scale-lr needs to know for which batch size the learning rate was "
            "chosen, and the config has no `auto_scale_lr.base_batch_size`. Add "
            "auto_scale_lr=dict(base_batch_size=N), N images of all tasks together, "
            "or leave the option out."
        )
    cfg.auto_scale_lr.enable = True


def enable_resume(cfg: Config, checkpoint: str | None) -> None:
    """Resume a run.

    Args:
        cfg: The config, changed in place.
        checkpoint: What ``--resume`` says: None for no such option, ``'auto'`` for the
            last checkpoint in the work dir, or a checkpoint: a file, or a folder if it
            is sharded.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    if checkpoint is None:
        return
    cfg.resume = True
    if checkpoint == AUTO:
        cfg.load_from = None
        return
    if not is_remote(checkpoint) and not Path(checkpoint).exists():
        raise FileNotFoundError(
            f"--resume names {checkpoint!r}, which is not there (seen from "
            f"{Path.cwd()}). Give a checkpoint, or --resume alone for the last one in "
            "the work dir."
        )
    cfg.load_from = checkpoint


def resume_hint(command: Sequence[str], cfg: Config, checkpoint: str | None) -> str:
    """Say how to go on with an interrupted run.

    Args:
        command: The command that started it.
        cfg: Its config.
        checkpoint: What ``--resume`` said.

    Returns:
        One line.
    """
    if cfg.launcher != "none":
        return "Interrupted. To go on, start the same command again with --resume."
    again = list(command)
    if checkpoint is not None:
        # A checkpoint that was named is older than the last one now.
        again = [
            part
            for part in again
            if part not in ("--resume", checkpoint, f"--resume={checkpoint}")
        ]
    return f"Interrupted. To go on: {shlex.join([*again, '--resume'])}"
