"""A recipe's loaders and evaluators, as one task of a run has them."""

from collections.abc import Mapping
from typing import Any

from gppf_mm.utils.class_name import class_name

from .rewrite import in_its_scope
from .source import Recipe

# Loops whose work `MultiTaskValLoop` does for each task.
_STOCK_LOOPS = ("None", "ValLoop", "TestLoop")


def check_batch_size(
    where: str, entry: Mapping[str, Any], loader: Mapping[str, Any]
) -> None:
    """Require a number of images for each step.

    Args:
        where: The config key of the task, named in errors.
        entry: The task's entry; see `expand_task`.
        loader: The recipe's training loader.

    Raises:
        ValueError: If neither has such a number.
    """
    size = entry.get("batch_size", loader.get("batch_size"))
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            f"`{where}.batch_size` is {size!r}, here or in the recipe; expected the "
            "number of images of this task in one step on one device, at least 1."
        )


def task_loader(
    loader: Mapping[str, Any], scope: str, entry: Mapping[str, Any], training: bool
) -> dict[str, Any]:
    """Return a loader's config in its scope, with what the task's entry says of it.

    Args:
        loader: The recipe's.
        scope: The recipe's scope.
        entry: The task's entry: ``num_workers``, and ``batch_size`` in training.
        training: Whether it is the training loader.

    Returns:
        A new config.
    """
    loader = in_its_scope(loader, scope)
    if training and "batch_size" in entry:
        loader["batch_size"] = entry["batch_size"]
        sampler = loader.get("batch_sampler")
        if isinstance(sampler, Mapping) and "batch_size" in sampler:
            loader["batch_sampler"] = {**sampler, "batch_size": entry["batch_size"]}
    if "num_workers" in entry:
        loader["num_workers"] = entry["num_workers"]
        if not entry["num_workers"]:
            # PyTorch refuses it without workers.
            loader.pop("prefetch_factor", None)
            loader["persistent_workers"] = False
    return loader


def evaluation(
    recipe: Recipe, entry: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """Return the stages that can run: a loader, metrics, and no loop of their own.

    Args:
        recipe: The task's recipe.
        entry: The task's entry.
        notes: What of the recipe is left behind; added to.

    Returns:
        The values under ``val_dataloader``, ``test_evaluator``, ... by that key.
    """
    parts: dict[str, Any] = {}
    for stage in ("val", "test"):
        loader = recipe.cfg.get(f"{stage}_dataloader")
        metrics = recipe.cfg.get(f"{stage}_evaluator")
        loop = (recipe.cfg.get(f"{stage}_cfg") or {}).get("type")
        if not isinstance(loader, Mapping) or not metrics:
            continue
        if class_name(loop) not in _STOCK_LOOPS:
            notes.append(f"{stage}_cfg: its loop {loop} is for a run of its own")
            continue
        parts[f"{stage}_dataloader"] = task_loader(loader, recipe.scope, entry, False)
        if isinstance(metrics, (list, tuple)):
            metrics = [in_its_scope(metric, recipe.scope) for metric in metrics]
        else:
            metrics = in_its_scope(metrics, recipe.scope)
        parts[f"{stage}_evaluator"] = metrics
    return parts
