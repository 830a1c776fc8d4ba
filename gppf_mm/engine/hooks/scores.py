"""The scores that a run looks at: for its best checkpoint, for its learning rate."""

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
            warn_of_silence(silent[0], _KEY, "'auto' waits for its first metric")
        return {} if waits else dict(metrics)
    missing = silent_scores(_KEY, wanted, metrics, tasks)
    for name in missing:
        note = f"no best checkpoint is chosen by {name!r} this time"
        warn_of_silence(name.partition("/")[0], _KEY, note)
    return {**metrics, **dict.fromkeys(missing)}


def silent_scores(
    key: str, wanted: Iterable[str], metrics: Mapping[str, Any], tasks: Iterable[str]
) -> list[str]:
    """Return those of the metrics whose task reported nothing this time.

    Args:
        key: What names the metrics in the config.
        wanted: The metrics.
        metrics: The metrics of the validation, by name with the task as prefix.
        tasks: The tasks that were validated.

    Returns:
        Names of metrics.

    Raises:
        ValueError: If a metric is wanted that no task reports.
    """
    silent = set(tasks) - {name.partition("/")[0] for name in metrics}
    missing = [name for name in wanted if name not in metrics]
    for name in missing:
        if name.partition("/")[0] not in silent:
            mean = " `val_cfg.mean` makes a 'mean'." if name == "mean" else ""
            auto = ", or 'auto'" if key == _KEY else ""
            raise ValueError(
                f"`{key}` is {name!r}, which no task reports; expected one of "
                f"{', '.join(map(repr, metrics))}{auto}.{mean}"
            )
    return missing


def warn_of_silence(task: str, key: str, consequence: str) -> None:
    """Log that a task reported no metric.

    Args:
        task: The task.
        key: What names its metric in the config.
        consequence: What follows.
    """
    print_log(
        f"Task {task!r} reported no metric; `{key}`: {consequence}.",
        logger="current",
        level=logging.WARNING,
    )
