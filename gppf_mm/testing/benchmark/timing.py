"""Times of several calls, taken in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from .figure import Figure, Goal
from .options import Options

Call = Callable[[], object]
_WARM_UPS = 2
_LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same, each by its name; the first is ours.

    Attributes:
        calls: The two calls.
    """

    calls: Mapping[str, Call]


def interleave(
    calls: Mapping[str, Call],
    options: Options,
    go_on: Callable[[bool], bool] | None = None,
    clock: Callable[[Call], float] | None = None,
) -> dict[str, list[float]]:
    """Time calls in turns, ABBA..., so that drift of the machine meets all alike.

    Args:
        calls: What to time, by name.
        options: Gives the time to spend.
        go_on: Is told whether there should be another round and decides, for processes
            that have to agree. Defaults to None, there is one as long as there is time.
        clock: Makes a call and returns the seconds that count. Defaults to None, all.

    Returns:
        The seconds of each round, by name.
    """
    seconds = clock or partial(_seconds, options=options)
    for call in calls.values():
        for _ in range(options.pick(_WARM_UPS, 1)):
            seconds(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    rounds, start = 0, time.perf_counter()
    while True:
        turn = list(calls.items())
        for name, call in turn if rounds % 2 == 0 else reversed(turn):
            times[name].append(seconds(call))
        rounds += 1
        is_time_left = time.perf_counter() - start < options.seconds
        more = rounds < options.pick(_LEAST_ROUNDS, 2) or (
            is_time_left and not options.quick
        )
        if not (go_on(more) if go_on else more):
            return times


def _seconds(call: Call, options: Options) -> float:
    options.wait()
    start = time.perf_counter()
    call()
    options.wait()
    return time.perf_counter() - start


def ratio_figure(
    key: str,
    what: str,
    times: Mapping[str, list[float]],
    goal: Goal | None,
    note: str = "",
    inverse: bool = False,
) -> Figure:
    """Make a figure of the first side's time over the second's.

    Args:
        key: Name of the figure.
        what: What it is.
        times: The times of two sides, by round.
        goal: Its goal.
        note: What else is to be said. Defaults to nothing.
        inverse: Whether to divide the second side's time by the first's instead, which
            is the ratio of their rates. Defaults to False.

    Returns:
        The figure: the median of the rounds' ratios, with their quartiles.
    """
    ours, theirs = times.values()
    rounds = [a / b for a, b in zip(ours, theirs, strict=True)]
    if inverse:
        rounds = [1 / ratio for ratio in rounds]
    low, middle, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Figure(
        key,
        what,
        middle,
        goal,
        spread=(low, high),
        sides={
            name: milliseconds(statistics.median(part)) for name, part in times.items()
        },
        note=note or f"{len(rounds)} rounds",
    )


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds."""
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.2f} ms"
