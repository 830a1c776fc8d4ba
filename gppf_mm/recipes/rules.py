"""Rules by parameter that recipes have for the optimizer."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from gppf_mm.utils.class_name import class_name

from .source import Recipe

_CONSTRUCTOR = "MultiTaskOptimWrapperConstructor"


def task_rules(recipe: Recipe, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's optimizer rules, and the multipliers of the task's entry.

    Args:
        recipe: The task's recipe.
        entry: The task's entry: ``lr_mult`` and ``decay_mult``.

    Returns:
        What `MultiTaskOptimWrapperConstructor` has for the task.
    """
    wrapper = recipe.cfg.get("optim_wrapper") or {}
    rules: dict[str, Any] = {}
    if wrapper.get("constructor"):
        constructor = wrapper["constructor"]
        if "." not in constructor:
            constructor = f"{recipe.scope}.{constructor}"
        rules["constructor"] = constructor
    if wrapper.get("paramwise_cfg"):
        rules["paramwise_cfg"] = deepcopy(wrapper["paramwise_cfg"])
    for key in ("lr_mult", "decay_mult"):
        if key in entry:
            rules[key] = entry[key]
    return rules


def add_rules(wrapper: dict[str, Any], rules: Mapping[str, Mapping]) -> None:
    """Keep the recipes' optimizer rules, unless the config has rules of its own.

    Those of the tasks' constructor, for the router, say, go beside them.

    Args:
        wrapper: The run's ``optim_wrapper``; changed.
        rules: The rules of each task that has some; see `task_rules`.

    Raises:
        ValueError: If the config has rules for all, and a task has multipliers.
    """
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
