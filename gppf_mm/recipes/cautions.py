"""What a user should know of recipes that were expanded."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from .probe import keeps_statistics
from .task import TaskConfig


def warn_left(expanded: Mapping[str, TaskConfig]) -> None:
    """Warn of what was not taken over from the recipes."""
    for task, item in expanded.items():
        if item.notes:
            print_log(
                f"Task {task!r}: not taken over from its recipe: "
                f"{'; '.join(item.notes)}.",
                logger="current",
                level=logging.WARNING,
            )


def warn_frozen(expanded: Mapping[str, TaskConfig], made: Mapping[str, Any]) -> None:
    """Warn of what a recipe leaves untrained because it was pretrained there."""
    init = made["lego"].get("init") or {}
    if init.get("checkpoint") or made.get("load_from"):
        return
    backbones = {task: item.model["backbone"] for task, item in expanded.items()}
    random = {k: cfg for k, cfg in backbones.items() if not cfg.get("init_cfg")}
    frozen = [k for k, cfg in random.items() if cfg.get("frozen_stages", -1) >= 0]
    fixed = [k for k, cfg in random.items() if keeps_statistics(cfg)]
    if frozen:
        print_log(
            f"Task {frozen[0]!r} freezes stages of the common backbone, as its recipe "
            "does with a pretrained one, and here they start from random values. Set "
            "`backbone.frozen_stages=-1` (and `norm_eval=False`), or start from "
            "`lego.init.checkpoint`.",
            logger="current",
            level=logging.WARNING,
        )
    elif fixed:
        print_log(
            f"Task {fixed[0]!r} has norm_eval=True in the common backbone, as its "
            "recipe has with a pretrained one, and here the running statistics would "
            "stay at their first values, so that its BN layers never normalise. Set "
            "`backbone.norm_eval=False`, or start from `lego.init.checkpoint`.",
            logger="current",
            level=logging.WARNING,
        )
