"""How steadily a run learned."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def loss_noise(losses: Sequence[float]) -> float:
    """Return how much a loss varies from batch to batch, relative to its level.

    It is the standard deviation of the differences of neighbours over the last half,
    divided by the root of 2 and by the mean: a trend does not count.

    Args:
        losses: A task's losses in the order of its batches.
    """
    last = np.array(losses[len(losses) // 2 :], float)
    last = last[np.isfinite(last)]
    if len(last) < 3:
        return math.nan
    return float(np.diff(last).std() / math.sqrt(2) / max(abs(last.mean()), 1e-12))


def diverged_tasks(result: Mapping[str, Any]) -> list[str]:
    """Return the tasks that ended no better than they began.

    That is a loss that was not finite at some iteration, or whose mean over the last
    twentieth is not below that over the first.

    Args:
        result: What a run wrote.
    """
    found = []
    for task, pairs in result["losses"].items():
        losses = [loss for _, loss in pairs]
        part = max(1, len(losses) // 20)
        first, last = (statistics.fmean(x) for x in (losses[:part], losses[-part:]))
        if not all(map(math.isfinite, losses)) or not last < first:
            found.append(task)
    return found


def mean_noise(result: Mapping[str, Any]) -> float:
    """Return the mean of `loss_noise` over the tasks of a run."""
    values = [
        loss_noise([loss for _, loss in pairs]) for pairs in result["losses"].values()
    ]
    return statistics.fmean(values) if values else math.nan
