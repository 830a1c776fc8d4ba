"""A config that names recipes becomes a multi-task config that runs by itself."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.messages import check_task_name

from .cautions import warn_frozen, warn_left
from .completion import complete
from .probe import Prober
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
    without = _without(made)
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
    warn_left(expanded)
    if made.get("backbone"):
        warn_frozen(expanded, made)
    model = _model(expanded, made["lego"], made.get("share"))
    made = {key: value for key, value in made.items() if key not in RECIPE_KEYS}
    made["model"] = model | options
    for task, item in expanded.items():
        for key, value in item.parts.items():
            if key not in without:
                made.setdefault(key, {})[task] = value
    made |= dict.fromkeys(without)
    complete(made, expanded)
    # With the name under which each start of the run writes it to the work dir.
    return Config(made, cfg_text=cfg.text, filename=cfg.filename)


def _without(made: dict[str, Any]) -> list[str]:
    """Take out the keys of a validation or test that the config has as None.

    Args:
        made: The config; changed.

    Returns:
        All keys of these stages: a stage goes as a whole.
    """
    without = []
    for stage in ("val", "test"):
        keys = [f"{stage}_{part}" for part in ("dataloader", "evaluator", "cfg")]
        if any(key in made and made[key] is None for key in keys):
            without += keys
    for key in without:
        if made.get(key) is None:
            made.pop(key, None)
    return without


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
