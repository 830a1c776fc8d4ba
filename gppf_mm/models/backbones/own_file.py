"""A file that starts a lego backbone must be one of a lego backbone."""

from collections.abc import Mapping
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import nn


def check_own_file(backbone: nn.Module, init_cfg: Mapping[str, Any]) -> None:
    """Refuse a file of which nothing would be loaded.

    MMEngine loads what fits and warns of the rest, so that a stock backbone's file,
    none of whose names is a lego backbone's, would leave every unit as it was drawn.

    Args:
        backbone: The lego backbone that is to take the file.
        init_cfg: ``checkpoint`` and, where the file is a whole model's, ``prefix``.

    Raises:
        ValueError: If not one name of the file is the backbone's.
    """
    checkpoint, prefix = init_cfg["checkpoint"], init_cfg.get("prefix")
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    start = f"{prefix.removesuffix('.')}." if prefix else ""
    own = backbone.state_dict().keys()
    names = [str(name) for name in state]
    below = [name.removeprefix(start) for name in names if name.startswith(start)]
    if any(name.removeprefix("module.") in own for name in below):
        return
    found = start + below[0] if below else next(iter(names), None)
    named = f"{checkpoint!r} (prefix={prefix!r})" if prefix else repr(checkpoint)
    raise ValueError(
        f"`backbone.init_cfg` names {named}, which has nothing of a LegoBackbone: "
        f"found {found!r}, for one, and expected names such as "
        f"{start + next(iter(own))!r}. If it is a stock checkpoint, put it under "
        "`backbone.init.checkpoint` (a local file) or, as "
        "dict(type='Pretrained', ...), under `backbone.skeleton.init_cfg`: all units "
        "start from it. If it is a model with a LegoBackbone, set "
        "prefix='backbone.'."
    )
