"""A file that starts a lego backbone must be one of a lego backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import nn

from gppf_mm.utils.remote import is_remote


def check_own_file(backbone: nn.Module, init_cfg: Mapping[str, Any]) -> None:
    """Refuse a file of which nothing would be loaded, or units alone.

    MMEngine loads what fits and warns of the rest, so that a stock backbone's file,
    none of whose names is a lego backbone's, would leave every unit as it was drawn. A
    multi-task run's has the units under the same names, routes and norms under others.

    Args:
        backbone: The lego backbone that is to take the file.
        init_cfg: ``checkpoint`` and, where the file is a whole model's, ``prefix``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If not one name of the file is the backbone's, or it is one of a
            `GPPF` run.
    """
    checkpoint, prefix = init_cfg["checkpoint"], init_cfg.get("prefix")
    if not is_remote(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"`backbone.init_cfg.checkpoint` is {checkpoint!r}, and there is no such "
            f"file (seen from {Path.cwd()}). Correct the path, or take `init_cfg` out."
        )
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    start = f"{prefix.removesuffix('.')}." if prefix else ""
    own = backbone.state_dict().keys()
    names = [str(name) for name in state]
    named = f"{checkpoint!r} (prefix={prefix!r})" if prefix else repr(checkpoint)
    tasks = dict.fromkeys(n.split(".")[1] for n in names if n.startswith("tasks."))
    if tasks and any(name.startswith("network.bank.") for name in names):
        raise ValueError(
            f"`backbone.init_cfg` names {named}, a checkpoint of a multi-task run with "
            f"the tasks {', '.join(map(repr, tasks))}: units would be loaded, and no "
            "route or norm of a task; expected one of a model with a LegoBackbone. "
            f"Put it under `backbone.transfer`, as dict(checkpoint={checkpoint!r}, "
            f"route={next(iter(tasks))!r}), and take `init_cfg` out."
        )
    below = [name.removeprefix(start) for name in names if name.startswith(start)]
    if any(name.removeprefix("module.") in own for name in below):
        return
    found = start + below[0] if below else next(iter(names), None)
    raise ValueError(
        f"`backbone.init_cfg` names {named}, which has nothing of a LegoBackbone: "
        f"found {found!r}, for one, and expected names such as "
        f"{start + next(iter(own))!r}. If it is a stock checkpoint, put it under "
        "`backbone.init.checkpoint` (a local file) or, as "
        "dict(type='Pretrained', ...), under `backbone.skeleton.init_cfg`: all units "
        "start from it. If it is a model with a LegoBackbone, set "
        "prefix='backbone.'."
    )
