"""Reading a multi-task checkpoint, and refusing one that does not fit the config."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from textwrap import shorten
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from torch import nn

from gppf_mm.models import GPPF
from gppf_mm.models.origins import fit_origins
from gppf_mm.registry import MODELS
from gppf_mm.utils.loading import (
    load_whole,
    order_tasks,
    same_rows,
    saved_tasks,
    state_differences,
)
from gppf_mm.utils.remote import is_remote
from gppf_mm.utils.sharded_files import read_folder

from .trained_routing import check_routing


def init_model(
    cfg: Config, checkpoint: str | Path | None = None, device: str = "cpu"
) -> GPPF:
    """Build a multi-task model for inference.

    Args:
        cfg: A multi-task config; see `load_config`.
        checkpoint: A checkpoint of a run with that config. Defaults to None, no
            weights.
        device: Where to put the model. Defaults to ``'cpu'``.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not of this config.
    """
    scope = cfg.get("default_scope", "gppf_mm")
    content = None if checkpoint is None else read_checkpoint(checkpoint)
    if content is not None:
        order_tasks(cfg, content["state_dict"])
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(deepcopy(cfg.model))
    if content is not None and checkpoint is not None:
        check_checkpoint(model, cfg, content, checkpoint)
        load_whole(model, content["state_dict"])
    return model.to(device).eval()


def require_checkpoint(path: str | Path) -> None:
    """Require that a checkpoint exists, as far as that is known without a download.

    Args:
        path: The file, or the folder of a sharded checkpoint.

    Raises:
        FileNotFoundError: If there is none.
    """
    if not is_remote(path) and not Path(path).exists():
        raise FileNotFoundError(
            f"There is no checkpoint {str(path)!r} (seen from {Path.cwd()}); expected "
            "a file that tools/train.py wrote, such as work_dirs/NAME/iter_N.pth."
        )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Args:
        path: The file, or the folder of a sharded checkpoint.

    Returns:
        Its content; a bare state dict is put under ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or holds what could run code.
    """
    require_checkpoint(path)
    try:
        if Path(path).is_dir():
            content = read_folder(path)
        else:
            content = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    except Exception as error:  # What torch raises depends on the first bytes.
        reason = shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
        raise ValueError(
            f"The file {str(path)!r} cannot be read as a checkpoint ({reason}). It is "
            "cut off, of another kind, or holds more than weights; expected a file "
            "that tools/train.py wrote."
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"The file {str(path)!r} holds a {type(content).__name__}; expected a "
            "checkpoint that tools/train.py wrote."
        )
    if "state_dict" in content:
        return dict(content)
    return dict(state_dict=content)


def check_checkpoint(
    model: nn.Module, cfg: Config, content: Mapping[str, Any], path: str | Path
) -> None:
    """Require that a checkpoint is one of this config's runs.

    Where the schedules of tasks that were trained before stand is the checkpoint's to
    say: one whose tasks were edited has it, or lacks it, unlike its run. Such a one has
    no state of a task weighting either, which counts in training alone.

    Args:
        model: The multi-task model of the config, made to expect that.
        cfg: The config.
        content: What `read_checkpoint` returned.
        path: The file, named in errors.

    Raises:
        ValueError: If names or shapes of the weights differ, or the checkpoint was
            trained with other routing, which the weights would not show.
    """
    found = content["state_dict"]
    if isinstance(model, GPPF):
        fit_origins(model.network, found)
        if not any(name.startswith("weighting.") for name in found):
            model.weighting = None
    expected = model.state_dict()
    if not any(name.startswith("network.") for name in found):
        example = next(iter(found), None)
        raise ValueError(
            f"The checkpoint {str(path)!r} is none of a multi-task model: it has no "
            f"lego bank, and its first entry is {example!r}. Expected a checkpoint "
            "that tools/train.py wrote with this config. A stock checkpoint may start "
            "a training, as `model.lego.init.checkpoint`."
        )
    tasks = [saved_tasks(found), saved_tasks(expected)]
    # MMEngine sorts the keys of the configs that it writes.
    if sorted(tasks[0]) != sorted(tasks[1]):
        raise ValueError(
            f"The checkpoint {str(path)!r} is of another config: it has the tasks "
            f"{', '.join(tasks[0])}, and the config has {', '.join(tasks[1])}."
        )
    differences = state_differences(found, expected)
    if not differences and not same_rows(found, expected):
        differences = (
            "its shared layers in another order, as of another `model.share`, so that "
            "routes would be taken for those of other layers"
        )
    if differences:
        raise ValueError(
            f"The checkpoint {str(path)!r} is of another config: compared with its "
            f"weights the model has {differences}. Use the config that the run wrote "
            "beside its checkpoints."
        )
    check_routing(cfg, content, path)
