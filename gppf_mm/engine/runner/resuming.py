"""Refusing a checkpoint that a run cannot go on from."""

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any
from zipfile import is_zipfile

import torch
from mmengine.config import Config
from torch import nn
from torch.optim import Optimizer

from gppf_mm.utils.loading import (
    order_tasks,
    same_rows,
    saved_tasks,
    state_differences,
)
from gppf_mm.utils.sharded_files import outline_folder

from .checkpoints import find_latest_checkpoint, remove
from .saved_optimizer import check_optimizer

_REMEDY = (
    "Remove it and give --resume again, for the one before it, or name a checkpoint "
    "of this run: --resume=FILE."
)
# What a run goes on with, besides the weights.
_KEYS = ("state_dict", "meta", "message_hub")


def check_resumable(
    path: str,
    model: nn.Module,
    scheduled: bool = False,
    optimizer: Optimizer | None = None,
) -> None:
    """Require that a file is a whole checkpoint of a run of this model.

    Only the table of contents is read: a file that is cut off has none. MMEngine
    would load what fits of another model, and train on.

    Args:
        path: A local file, or the folder of a sharded checkpoint.
        model: The model that is about to be resumed.
        scheduled: Whether the run has parameter schedulers. Defaults to False.
        optimizer: The optimizer that goes on from it. Defaults to None, not compared.

    Raises:
        ValueError: If the file is cut off, no checkpoint, one of another model or
            optimizer or without the state of optimizer or schedulers, or holds what
            could run code; the message names it.
    """
    check_content(path, _read(path), model, scheduled, optimizer)


def check_content(
    path: str,
    content: Any,
    model: nn.Module,
    scheduled: bool,
    optimizer: Optimizer | None = None,
) -> None:
    """Require that what was read is a checkpoint of a run of this model.

    Args:
        path: Where it was read, named in errors.
        content: What was read.
        model: The model.
        scheduled: Whether the run has parameter schedulers.
        optimizer: The optimizer that goes on from it. Defaults to None, not compared.

    Raises:
        ValueError: If it is not; see `check_resumable`.
    """
    missing = [key for key in _KEYS if key not in _mapping(content)]
    if missing:
        raise ValueError(
            f"The file {path!r} cannot be resumed from: it holds a "
            f"{type(content).__name__} without {missing[0]!r}, and is no checkpoint of "
            f"a training run. {_REMEDY}"
        )
    state = model.state_dict()
    differences = state_differences(content["state_dict"], state)
    saved, present = saved_tasks(content["state_dict"]), saved_tasks(state)
    if not differences and saved != present:
        differences = f"its tasks are in another order, {saved} instead of {present}"
    if not differences and not same_rows(content["state_dict"], state):
        differences = "its shared layers are in another order, as of another `share`"
    if differences:
        raise ValueError(
            f"The checkpoint {path!r} cannot be resumed from, for it is of another "
            f"model: {differences}. {_REMEDY} Weights alone start a training as "
            "`load_from` or `model.lego.init.checkpoint`."
        )
    _check_states(path, content, scheduled)
    if optimizer is not None:
        check_optimizer(path, content["optimizer"], optimizer)


def _check_states(path: str, content: Mapping[str, Any], scheduled: bool) -> None:
    """Require what MMEngine would begin anew, silently, at a learning rate of its own.

    Raises:
        ValueError: If it is missing.
    """
    keys = {"optimizer": "save_optimizer"}
    if scheduled:
        keys["param_schedulers"] = "save_param_scheduler"
    for key, option in keys.items():
        if key not in content:
            raise ValueError(
                f"The checkpoint {path!r} cannot be resumed from: it has no {key!r}, "
                "whose state would begin anew in the middle of the run. Was it saved "
                f"with `default_hooks.checkpoint.{option}` of False? Name one that has "
                "it, --resume=FILE, or start a new training from its weights by "
                "`load_from`."
            )


def order_as_saved(cfg: Config | dict[str, Any]) -> None:
    """Put the tasks of a run that resumes in the order of its checkpoint.

    MMEngine sorts the keys of the config that it writes beside the checkpoints, and
    optimizer states follow the order of the tasks.

    Args:
        cfg: The run's config, changed in place.

    Raises:
        ValueError: If the checkpoint cannot be read; see `check_resumable`.
    """
    model = cfg["model"]
    # A model that is built already has its order.
    if not cfg.get("resume") or not isinstance(model, Mapping) or "tasks" not in model:
        return
    path = cfg.get("load_from") or find_latest_checkpoint(Path(cfg["work_dir"]))
    if path and Path(path).exists():
        order_tasks(cfg, _mapping(_read(path)).get("state_dict", {}))


def _read(path: str) -> Any:
    if Path(path).is_dir():
        return outline_folder(path)
    if not is_zipfile(path):
        raise ValueError(
            f"The checkpoint {path!r} cannot be resumed from: it is cut off, or no "
            f"file of torch.save. {_REMEDY}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # What torch raises depends on the content.
        refused = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        if refused:
            raise ValueError(
                f"The checkpoint {path!r} cannot be resumed from: the file is whole, "
                f"but holds more than weights: {refused[1]}, which may run code. If "
                "you trust the file, declare it by torch.serialization."
                "add_safe_globals in a module that `custom_imports` names; or let what "
                "saved it, a hook or a data set, save plain numbers, strings and lists."
            ) from error
        reason = shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
        raise ValueError(
            f"The checkpoint {path!r} cannot be resumed from: it holds more than "
            f"weights, or is damaged ({reason}). {_REMEDY}"
        ) from error


def remove_partial(folder: Path) -> None:
    """Remove the halves of checkpoints that a kill has left.

    Args:
        folder: The run's folder.
    """
    for path in folder.glob("*.pth.partial"):
        remove(path)


def _mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}
