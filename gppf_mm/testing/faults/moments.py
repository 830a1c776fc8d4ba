"""Moments of a run, drawn by time and found again in another run by what it does."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .attempts import Attempt
from .trace import Event, TraceReader

START = "start"  # Before the first event.
SAVING = ("save", "save best")
_BEFORE_TRAINING = (START, "build", "begin")


@dataclass(frozen=True)
class Segment:
    """The time from one event of the uninterrupted run to the next.

    Attributes:
        event: The name of the first.
        iteration: Its iteration.
        seconds: The time between them.
    """

    event: str
    iteration: int
    seconds: float


@dataclass(frozen=True)
class Moment:
    """A moment: so long after an event.

    It is where a fault has to strike. The same number of seconds after the start of
    another run would be elsewhere in it, as soon as the machine is busier.

    Attributes:
        event: The event's name.
        iteration: Its iteration.
        delay: Seconds after it.
    """

    event: str
    iteration: int
    delay: float


def segments(events: Sequence[Event], started: float, ended: float) -> list[Segment]:
    """Cut a run into the times between its events.

    Args:
        events: The trace of the uninterrupted run.
        started: When it was started.
        ended: When it had ended.

    Returns:
        The segments, of which the first is `START`.
    """
    names = [(START, 0), *((event.name, event.iteration) for event in events)]
    times = [started, *(event.time for event in events), ended]
    return [
        Segment(*name, seconds=end - begin)
        for name, begin, end in zip(names, times[:-1], times[1:], strict=True)
    ]


def after_resuming(parts: Iterable[Segment], iteration: int) -> list[Segment]:
    """Leave out what a run does not do again.

    Args:
        parts: The segments of the whole run.
        iteration: What is resumed from, 0 for the beginning.

    Returns:
        The start, and what comes after that iteration.
    """
    return [
        part
        for part in parts
        if part.event in _BEFORE_TRAINING or part.iteration > iteration
    ]


def moment_at(parts: Sequence[Segment], position: float) -> Moment:
    """Find a moment by its share of the time.

    Args:
        parts: Segments, not necessarily of one piece.
        position: A number in ``[0, 1)``; if it is drawn uniformly, every moment of the
            segments is equally likely.

    Returns:
        The moment.
    """
    left = position * sum(part.seconds for part in parts)
    for part in parts:
        if left < part.seconds:
            break
        left -= part.seconds
    return Moment(part.event, part.iteration, min(left, part.seconds))


def wait_for(moment: Moment, attempt: Attempt, trace: TraceReader) -> bool:
    """Wait until a run reaches a moment.

    Args:
        moment: The moment.
        attempt: The run.
        trace: Its trace.

    Returns:
        Whether the run got there; False if it ended before.
    """
    due: float | None = None
    if moment.event == START:
        due = attempt.started + moment.delay
    while attempt.code() is None:
        if due is None:
            due = _due(moment, trace.read())
        elif time.monotonic() >= due:
            return True
        time.sleep(0.001)
    return False


def _due(moment: Moment, events: Iterable[Event]) -> float | None:
    for event in events:
        if (event.name, event.iteration) == (moment.event, moment.iteration):
            return event.time + moment.delay
    return None
