"""What the numbers of several seeds say."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Value:
    """A figure over seeds.

    Attributes:
        mean: Its mean.
        spread: Its standard deviation, None for a single seed.
    """

    mean: float
    spread: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Value":
        """Return mean and standard deviation of one value for each seed."""
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), spread)

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        return f"{self.mean:.1f}{spread}"


def by_task(seeds: Sequence[Metrics]) -> dict[str, Value]:
    """Return each task's figure.

    Args:
        seeds: For each seed the metrics by task.
    """
    return {task: Value.of([item[task] for item in seeds]) for task in seeds[0]}


def delta_m(metrics: Metrics, single: Metrics) -> float:
    """Return Delta_m, the mean relative gain over single-task networks, in per cent.

    It is that of Maninis et al., "Attentive Single-Tasking of Multiple Tasks" (CVPR
    2019), and of Vandenhende et al., "Multi-Task Learning for Dense Prediction Tasks: A
    Survey" (TPAMI 2021). All metrics here are better when they are higher.

    Args:
        metrics: A multi-task network's metrics by task.
        single: The single-task networks'.

    Raises:
        ValueError: If the tasks are not the same, or a reference is not above 0.

    Examples:
        >>> round(delta_m(dict(seg=44.0, cls=57.0), dict(seg=40.0, cls=60.0)), 6)
        2.5
    """
    if set(metrics) != set(single):
        raise ValueError(
            f"Delta_m needs the same tasks on both sides; found {sorted(metrics)} and "
            f"{sorted(single)}."
        )
    for task, value in single.items():
        if value <= 0:
            raise ValueError(
                f"Delta_m relates task {task!r} to {value}; expected a number above 0: "
                "train the single-task network for longer."
            )
    return 100 * statistics.fmean(
        (metrics[task] - single[task]) / single[task] for task in single
    )


def gains(seeds: Sequence[Metrics], baseline: Sequence[Metrics]) -> dict[str, Value]:
    """Return how many points a variant is ahead of another, by task.

    Args:
        seeds: The variant's metrics, by seed.
        baseline: The other's.

    Returns:
        The difference of the means, and the root of the summed squares of both spreads
        where both have several seeds.
    """
    found = {}
    ours, theirs = by_task(seeds), by_task(baseline)
    for task, value in ours.items():
        other = theirs[task]
        spread = None
        if value.spread is not None and other.spread is not None:
            spread = (value.spread**2 + other.spread**2) ** 0.5
        found[task] = Value(value.mean - other.mean, spread)
    return found


def better_of(
    first: Sequence[Metrics], second: Sequence[Metrics]
) -> dict[str, Sequence[Metrics]]:
    """Return, by task, the baseline whose mean is the higher one."""
    one, two = by_task(first), by_task(second)
    return {task: first if one[task].mean >= two[task].mean else second for task in one}


def wins(values: Mapping[str, Value]) -> tuple[int, int]:
    """Count gains: above 0, and above their spread.

    Args:
        values: What `gains` returned.
    """
    ahead = [value for value in values.values() if value.mean > 0]
    clear = [
        item for item in ahead if item.spread is not None and item.mean > item.spread
    ]
    return len(ahead), len(clear)
