"""The scores that decide which checkpoint is the best."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

_KEY = "default_hooks.checkpoint.save_best"


def known_scores(
    wanted: Sequence[str], metrics: Mapping[str, Any], tasks: Iterable[str]
) -> dict[str, Any]:
    """Return a validation's metrics, None for one that a silent task would report.

    mmdet's ``CocoMetric`` reports nothing when nothing was detected, as may be early in
    a training. That is no mistake, and no reason to choose by another task's metric.

    Args:
        wanted: What ``save_best`` names; ``'auto'`` is the first metric of all.
        metrics: The metrics of the validation, by name with the task as prefix.
        tasks: The tasks that were validated, in their order.

    Returns:
        The metrics, or none at all if ``'auto'`` has to wait for the first task.

    Raises:
        ValueError: If a metric is wanted that no task reports.
    """
    tasks = list(tasks)
    heard = {name.partition("/")[0] for name in metrics}
    silent = [task for task in tasks if task not in heard]
    if "auto" in wanted:
        waits = bool(silent) and silent[0] == tasks[0]
        if waits:
            _warn(silent[0], "'auto' waits for its first metric")
        return {} if waits else dict(metrics)
    missing = [name for name in wanted if name not in metrics]
    for name in missing:
        task = name.partition("/")[0]
        if task not in silent:
            mean = " `val_cfg.mean` makes a 'mean'." if name == "mean" else ""
            raise ValueError(
                f"`{_KEY}` is {name!r}, which no task reports; expected one of "
                f"{', '.join(map(repr, metrics))}, or 'auto'.{mean}"
            )
        _warn(task, f"no best checkpoint is chosen by {name!r} this time")
    return {**metrics, **dict.fromkeys(missing)}


def _warn(task: str, consequence: str) -> None:
    print_log(
        f"Task {task!r} reported no metric; `{_KEY}`: {consequence}.",
        logger="current",
        level=logging.WARNING,
    )
