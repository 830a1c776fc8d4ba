"""Editing the tasks of a checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from gppf_mm.utils.loading import saved_tasks
from gppf_mm.utils.messages import check_names, check_task_name

from ..origins import saved_positions

_ROUTER = "network.router."
_ORIGINS = ("network.origins.steps", "network.origins.moves")
Content = Mapping[str, Any]


def task_names(content: Content) -> tuple[str, ...]:
    """Return the tasks of a checkpoint, in their order."""
    return tuple(saved_tasks(content["state_dict"]))


def remove_tasks(content: Content, tasks: Iterable[str]) -> dict[str, Any]:
    """Return a checkpoint without some tasks; the bank stays whole.

    Args:
        content: A checkpoint of a `GPPF` run.
        tasks: The tasks to remove.

    Returns:
        Weights and metadata. The state of an optimizer or of a task weighting, which
        would no longer fit, is left out.

    Raises:
        ValueError: If there is no such task, or none would remain.
    """
    tasks, present = tuple(tasks), task_names(content)
    check_names("--remove", tasks, present)
    kept = [task for task in present if task not in tasks]
    if not kept:
        raise ValueError(
            "--remove names all tasks of the checkpoint; expected at least one to "
            "remain."
        )
    state = {
        name: value
        for name, value in without_weighting(content).items()
        if owner(name, present) not in tasks
    }
    for name in _ORIGINS:
        if name in state:
            state[name] = state[name][[present.index(task) for task in kept]]
    return edited(content, state, {task: task for task in kept})


def add_task(content: Content, task: str, like: str) -> dict[str, Any]:
    """Return a checkpoint with one more task, a copy of another with all it has.

    Args:
        content: A checkpoint of a `GPPF` run.
        task: The new task.
        like: The task to copy: route, private values and head.

    Returns:
        Weights and metadata, as from `remove_tasks`.

    Raises:
        ValueError: If there is no such task to copy, or the name is taken or none.
    """
    present = task_names(content)
    check_names("--add", [like], present)
    check_task_name(task)
    if task in present:
        raise ValueError(
            f"--add names {task!r}, which the checkpoint has already; expected a new "
            "name."
        )
    state = without_weighting(content)
    for name, value in list(state.items()):
        if owner(name, present) == like:
            state[_renamed(name, like, task)] = value.clone()
    for name in _ORIGINS:
        if name in state:
            state[name] = torch.cat([state[name], state[name][[present.index(like)]]])
    return edited(content, state, {**{old: old for old in present}, task: like})


def owner(name: str, tasks: Iterable[str]) -> str | None:
    """Return the task to which a value belongs, None if it is of all."""
    if name.startswith("tasks."):
        return name.split(".")[1]
    if name.startswith(_ROUTER):
        parts = name.removeprefix(_ROUTER).split(".")
        return next((task for task in tasks if task in parts), None)
    return None


def _renamed(name: str, old: str, new: str) -> str:
    if name.startswith("tasks."):
        return ".".join(["tasks", new, *name.split(".")[2:]])
    parts = name.removeprefix(_ROUTER).split(".")
    return _ROUTER + ".".join(new if part == old else part for part in parts)


def without_weighting(content: Content) -> dict[str, Any]:
    """Return the weights without what a task weighting keeps of each task."""
    state = content["state_dict"].items()
    return {k: value for k, value in state if not k.startswith("weighting.")}


def positions(content: Content) -> list[int]:
    """Return where the tasks' schedules stood."""
    state = content["state_dict"]
    network = {k.removeprefix("network."): v for k, v in state.items()}
    return saved_positions(network, task_names(content))


def dataset_meta(content: Content) -> dict[str, Any]:
    """Return the metadata of the tasks' data sets."""
    return dict((content.get("meta") or {}).get("dataset_meta") or {})


def edited(
    content: Content, state: dict[str, Any], sources: Mapping[str, str]
) -> dict[str, Any]:
    """Put an edited state with the metadata that still hold.

    Args:
        content: The checkpoint before.
        state: The new weights.
        sources: For each task the one whose data it had before.
    """
    known = dataset_meta(content)
    datasets = {task: known[old] for task, old in sources.items() if old in known}
    meta = dict(content.get("meta") or {}, dataset_meta=datasets)
    return dict(meta=meta, state_dict=state)
