"""What a run of recipes needs and nobody has said."""

from collections.abc import Mapping
from typing import Any

from .rewrite import imported_modules
from .rules import add_rules
from .task import TaskConfig


def complete(made: dict[str, Any], expanded: Mapping[str, TaskConfig]) -> None:
    """Add what a run needs and neither the config nor a recipe says (our choice).

    Args:
        made: The multi-task config; changed.
        expanded: What each task has from its recipe.

    Raises:
        ValueError: If the run's length is not in iterations.
    """
    made.setdefault("runner_type", "gppf_mm.SIMTRunner")
    made.setdefault("default_scope", "gppf_mm")
    for stage in ("val", "test"):
        if made.get(f"{stage}_dataloader"):
            made.setdefault(f"{stage}_cfg", {})
    train_cfg = made.get("train_cfg") or {}
    _check_length(train_cfg)
    max_iters = train_cfg.get("max_iters")
    if "optim_wrapper" not in made and max_iters:
        made["optim_wrapper"] = dict(
            type="OptimWrapper",
            optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
            clip_grad=dict(max_norm=35),
        )
        made.setdefault("param_scheduler", _schedule(max_iters))
    if made.get("optim_wrapper"):
        rules = {task: item.rules for task, item in expanded.items() if item.rules}
        add_rules(made["optim_wrapper"], rules)
    interval = train_cfg.get("val_interval", 1000)
    hooks = made["default_hooks"] = made.get("default_hooks") or {}
    hooks.setdefault(
        "checkpoint",
        dict(
            type="CheckpointHook", by_epoch=False, interval=interval, max_keep_ckpts=2
        ),
    )
    hooks.setdefault("routing", dict(type="gppf_mm.RoutingHook"))
    hooks.setdefault(
        "logger", dict(type="LoggerHook", interval=50, log_metric_by_epoch=False)
    )
    task_hooks = [hook for item in expanded.values() for hook in item.hooks]
    if task_hooks:
        made["custom_hooks"] = [*(made.get("custom_hooks") or []), *task_hooks]
    _add_imports(made, expanded)


def _check_length(train_cfg: Mapping[str, Any]) -> None:
    """Require the number of iterations, unless the config does not train."""
    if "max_epochs" in train_cfg or (train_cfg and "max_iters" not in train_cfg):
        raise ValueError(
            f"`train_cfg` has {', '.join(train_cfg)}; expected `max_iters`, the steps "
            "of the whole run, and no epochs: those of its tasks have different "
            "lengths. For example train_cfg=dict(max_iters=90000, val_interval=5000)."
        )


def _schedule(max_iters: int) -> list[dict[str, Any]]:
    if max_iters < 2:
        # A single step, to see whether all works, leaves no room for two schedules.
        return []
    warm_up = max(1, min(1000, max_iters // 10))
    rest = max_iters - warm_up
    return [
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warm_up),
        dict(type="CosineAnnealingLR", by_epoch=False, begin=warm_up, T_max=rest),
    ]


def _add_imports(made: dict[str, Any], expanded: Mapping[str, TaskConfig]) -> None:
    own = made.get("custom_imports") or {}
    names = imported_modules(own)
    names += [name for item in expanded.values() for name in item.imports]
    if names:
        made["custom_imports"] = dict(
            imports=list(dict.fromkeys(names)),
            allow_failed_imports=own.get("allow_failed_imports", False),
        )
