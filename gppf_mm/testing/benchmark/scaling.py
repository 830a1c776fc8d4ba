"""How a step's time grows with the tasks and with the units."""

import statistics
from collections.abc import Mapping, Sequence

from .figure import Figure, Goal
from .options import Options
from .steps import Step
from .tasks import TOP1, TOP2, build_gppf, select, set_up
from .timing import interleave, milliseconds

_SIZE = 128
_UNITS = 4


def scaling(options: Options) -> list[Figure]:
    """Fit lines through the times of steps over 1 to 8 tasks, and 1 to 16 units.

    The bounds are our choice: straight to 1% of the variance, flat to 5%.
    """
    return [_by_tasks(options), _by_units(options)]


def _by_tasks(options: Options) -> Figure:
    counts = options.pick((1, 2, 4, 6, 8), (1, 2, 3))
    names = [f"cls{index}" for index in range(max(counts))]
    cfg, data = set_up(names, options, _SIZE)
    steps = {}
    for count in counts:
        part = names[:count]
        model = build_gppf(select(cfg, part), _UNITS, TOP2, options)
        steps[count] = Step(model, {name: data[name] for name in part})
    medians = _medians(steps, options)
    slope, _, r2 = fit_line(list(medians), list(medians.values()))
    return Figure(
        "scaling_tasks",
        "R^2 of a line through the time of a step over 1 to 8 tasks, 4 units top-2",
        r2,
        Goal(">=", 0.99),
        sides=_named(medians, "tasks"),
        note=f"{milliseconds(slope)} a task",
    )


def _by_units(options: Options) -> Figure:
    counts = options.pick((1, 2, 4, 8, 16), (1, 2, 4))
    cfg, data = set_up(["cls"], options, _SIZE)
    steps = {
        count: Step(build_gppf(cfg, count, TOP1, options), data) for count in counts
    }
    medians = _medians(steps, options)
    slope, _, _ = fit_line(list(medians), list(medians.values()))
    growth = slope * (max(counts) - min(counts)) / statistics.mean(medians.values())
    return Figure(
        "scaling_units",
        "growth of a step's time from 1 to 16 units, top-1, by a line / its mean",
        growth,
        Goal("<=", 0.05),
        sides=_named(medians, "units"),
    )


def _medians(steps: Mapping[int, Step], options: Options) -> dict[int, float]:
    calls = {str(count): step for count, step in steps.items()}
    times = interleave(calls, options)
    return {int(count): statistics.median(part) for count, part in times.items()}


def _named(medians: Mapping[int, float], what: str) -> dict[str, str]:
    return {f"{count} {what}": milliseconds(time) for count, time in medians.items()}


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Fit a line by least squares.

    Args:
        xs: Where.
        ys: The values there.

    Returns:
        Slope, intercept and R^2, the share of the variance that the line explains.

    Examples:
        >>> fit_line([1, 2, 4], [3, 5, 9])
        (2.0, 1.0, 1.0)
    """
    slope, intercept = statistics.linear_regression(xs, ys)
    return slope, intercept, statistics.correlation(xs, ys) ** 2
