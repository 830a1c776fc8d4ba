"""Where a fault may strike, and how a run that was struck has to end."""

from collections.abc import Sequence

from .kinds import FaultKind
from .moments import SAVING, Segment, after_resuming
from .plan import Injection
from .subject import ITERATIONS
from .trace import Event


def eligible(
    injection: Injection, parts: Sequence[Segment], saved: int
) -> list[Segment]:
    """Choose the segments in which a fault may strike.

    Args:
        injection: The fault.
        parts: The segments of the uninterrupted run.
        saved: The step of the newest checkpoint.

    Returns:
        The segments; all that are left if there are none as it wants them.
    """
    first, last = saved + 1, ITERATIONS
    if injection.kind.refused:
        first = max(first, _first_saved(parts) + 1)
    if injection.kind.message:
        last -= 1  # Another checkpoint has to come, for the fault to show.
    rest = after_resuming(parts, saved)
    wanted = [
        part
        for part in rest
        if not (injection.saving or injection.kind.in_training)
        or first <= part.iteration <= last
    ]
    if injection.saving:
        wanted = [part for part in wanted if part.event in SAVING]
    return wanted or rest


def came_too_late(
    kind: FaultKind, code: int | None, events: Sequence[Event], struck: float
) -> bool:
    """Say whether a run ended as if there had been no fault, and rightly so.

    Args:
        kind: The fault's kind.
        code: The exit code, None if the run did not end.
        events: What the run did.
        struck: When it was struck, in seconds of the monotonic clock.

    Returns:
        Whether nothing was left to do that the fault prevents: after a full disk,
        that no checkpoint was begun.
    """
    if code != 0 or kind.saves:
        return False
    saved = any(event.name in SAVING and event.time > struck for event in events)
    return not (kind.message and saved)


def complaints(
    kind: FaultKind,
    code: int | None,
    left: bool,
    events: Sequence[Event],
    output: str,
) -> list[str]:
    """Say what was not as it has to be after a fault.

    Args:
        kind: The fault's kind.
        code: The exit code, None if the run did not end.
        left: Whether processes were left behind.
        events: What the run did.
        output: What it printed.

    Returns:
        The complaints, empty if there are none.
    """
    wrong = []
    last = max((e.iteration for e in events if e.name == "stepped"), default=0)
    codes = kind.codes
    if last == ITERATIONS and not kind.message:
        # No step is left after which the run could end.
        codes += (0, *(128 - item for item in codes))
    if not any(event.name == "begin" for event in events):
        # Before training a signal does what Python does with it.
        codes += (1, *(128 - item for item in codes))
    if code is None:
        wrong.append("hangs")
    elif code not in codes:
        wrong.append(f"ends with code {code}")
    if left:
        wrong.append("leaves processes behind")
    if kind.message and code == 2 and kind.message not in output:
        wrong.append("does not say why")
    if kind.saves and code in kind.codes and "Traceback" in output:
        wrong.append("ends with a traceback")
    return wrong


def _first_saved(parts: Sequence[Segment]) -> int:
    return next(part.iteration for part in parts if part.event in SAVING)
