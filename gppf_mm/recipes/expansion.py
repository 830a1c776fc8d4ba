"""A config that names recipes becomes a multi-task config that runs by itself."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import check_task_name

from .probe import Prober, keeps_statistics
from .rewrite import imported_modules
from .task import TaskConfig, expand_task

# The keys that expansion takes away.
RECIPE_KEYS = ("tasks", "lego", "backbone", "share")
_MODEL_KEYS = ("type", "lego", "loss_weights", "tasks", "parts", "share")
_OVERRIDE = "Override what a recipe brings by the task's `cfg_options`"
# Where else the same is said.
_INSTEAD = {
    "model.lego": "Write `lego` beside `tasks`, not under `model`",
    "model.share": "Write `share` beside `tasks`, not under `model`",
    "model.loss_weights": "Give each task its `loss_weight`",
    "model.parts": "Give each task its `parts`",
}
_CONSTRUCTOR = "MultiTaskOptimWrapperConstructor"
_MADE_KEYS = (
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "val_evaluator",
    "test_evaluator",
    "visualizers",
)


def expand(cfg: Config) -> Config:
    """Expand ``tasks`` into model, loaders and evaluators of every task.

    Pure and cheap: configs are read and, for a common ``backbone``, networks built, but
    no data set or weight is touched. What a recipe has that cannot go along is named
    in a warning.

    Args:
        cfg: A config with ``tasks`` (see `expand_task`), ``lego`` (the ``model.lego``
            of `GPPF`), optionally ``backbone`` and ``share``, further options of
            `GPPF` under ``model``, such as ``weighting``, and anything that a run's
            config has. It is not changed.

    Returns:
        The multi-task config, which has none of these four keys. What it would make
        and ``cfg`` has already, such as ``optim_wrapper``, is left as it is.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If ``tasks`` is empty, stands beside a ``model``, or an entry is
            wrong.
    """
    made = cfg.to_dict()
    tasks = made.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        raise ValueError(
            f"`tasks` is {tasks!r}; expected {{name: dict(config=...)}} with at least "
            "one task."
        )
    options = made.pop("model", {})
    clash = [key for key in _MADE_KEYS if key in made]
    clash += [f"model.{key}" for key in _MODEL_KEYS if key in options]
    if not isinstance(options, Mapping):
        clash.append("model")
    if clash:
        raise ValueError(
            f"The config has both `tasks` and `{clash[0]}`, which `tasks` makes. "
            f"{_INSTEAD.get(clash[0], _OVERRIDE)}, or write the expanded config by "
            "hand without `tasks`."
        )
    if not isinstance(made.get("lego"), Mapping):
        raise ValueError(
            "The config has `tasks` and no `lego`; for example lego=dict(num_units=4, "
            "router=dict(type='gppf_mm.TopKRouter', k=2))."
        )
    expanded = {}
    prober = Prober()
    for task, entry in tasks.items():
        check_task_name(task)
        expanded[task] = expand_task(task, entry, made.get("backbone"), prober)
    _warn(expanded)
    if made.get("backbone"):
        _warn_frozen(expanded, made)
    model = _model(expanded, made["lego"], made.get("share"))
    made = {key: value for key, value in made.items() if key not in RECIPE_KEYS}
    made["model"] = model | options
    for task, item in expanded.items():
        for key, value in item.parts.items():
            made.setdefault(key, {})[task] = value
    _complete(made, expanded)
    # With the name under which each start of the run writes it to the work dir.
    return Config(made, cfg_text=cfg.text, filename=cfg.filename)


def _model(
    expanded: Mapping[str, TaskConfig], lego: Mapping[str, Any], share: Any
) -> dict[str, Any]:
    model = dict(
        type="gppf_mm.GPPF",
        lego=lego,
        loss_weights={task: item.loss_weight for task, item in expanded.items()},
        tasks={task: item.model for task, item in expanded.items()},
    )
    paths = {task: item.paths for task, item in expanded.items() if item.paths}
    if paths:
        model["parts"] = paths
    if share is not None:
        model["share"] = share
    return model


def _complete(made: dict[str, Any], expanded: Mapping[str, TaskConfig]) -> None:
    """Add what a run needs and neither the config nor a recipe says (our choice)."""
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
        _add_rules(made["optim_wrapper"], expanded)
    interval = train_cfg.get("val_interval", 1000)
    hooks = made.setdefault("default_hooks", {})
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
    warm_up = max(1, min(1000, max_iters // 10))
    rest = max(1, max_iters - warm_up)
    return [
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warm_up),
        dict(type="CosineAnnealingLR", by_epoch=False, begin=warm_up, T_max=rest),
    ]


def _add_rules(wrapper: dict[str, Any], expanded: Mapping[str, TaskConfig]) -> None:
    """Keep the recipes' optimizer rules, unless the config has rules of its own.

    Those of the tasks' constructor, for the router, say, go beside them.
    """
    rules = {task: item.rules for task, item in expanded.items() if item.rules}
    if class_name(wrapper.get("constructor")) == _CONSTRUCTOR:
        given = wrapper.get("paramwise_cfg") or {}
        own_rules = given.get("tasks") or {}
        tasks = {
            task: {**rules.get(task, {}), **own_rules.get(task, {})}
            for task in {**rules, **own_rules}
        }
        wrapper["paramwise_cfg"] = {**given, "tasks": tasks}
        return
    own = [key for key in ("constructor", "paramwise_cfg") if wrapper.get(key)]
    scaled = [
        task for task, item in rules.items() if {"lr_mult", "decay_mult"} & {*item}
    ]
    if own and scaled:
        raise ValueError(
            f"`tasks.{scaled[0]}` has `lr_mult` or `decay_mult`, and "
            f"`optim_wrapper.{own[0]}` sets the rules for all parameters. Leave one "
            "of them out."
        )
    if not own:
        wrapper["constructor"] = f"gppf_mm.{_CONSTRUCTOR}"
        wrapper["paramwise_cfg"] = dict(tasks=rules)


def _add_imports(made: dict[str, Any], expanded: Mapping[str, TaskConfig]) -> None:
    own = made.get("custom_imports") or {}
    names = imported_modules(own)
    names += [name for item in expanded.values() for name in item.imports]
    if names:
        made["custom_imports"] = dict(
            imports=list(dict.fromkeys(names)),
            allow_failed_imports=own.get("allow_failed_imports", False),
        )


def _warn(expanded: Mapping[str, TaskConfig]) -> None:
    for task, item in expanded.items():
        if item.notes:
            print_log(
                f"Task {task!r}: not taken over from its recipe: "
                f"{'; '.join(item.notes)}.",
                logger="current",
                level=logging.WARNING,
            )


def _warn_frozen(expanded: Mapping[str, TaskConfig], made: Mapping[str, Any]) -> None:
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
