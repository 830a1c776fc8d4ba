import random
from collections import Counter
from itertools import islice

import pytest

from gppf_mm.testing.faults import KINDS, Event, Injection, draw_trials
from gppf_mm.testing.faults.moments import (
    SAVING,
    Segment,
    after_resuming,
    moment_at,
    segments,
)
from gppf_mm.testing.faults.rules import came_too_late, complaints, eligible
from gppf_mm.testing.faults.subject import ITERATIONS

PARTS = [
    Segment("start", 0, 3.0),
    Segment("begin", 0, 1.0),
    *(
        part
        for step in range(1, ITERATIONS + 1)
        for part in (Segment("step", step, 0.3), Segment("save", step, 0.1))
    ),
    Segment("end", ITERATIONS, 0.2),
]


def event(name: str, iteration: int, time: float = 0.0) -> Event:
    return Event(name, iteration, time, rank=0, pid=1)


def injection(kind: str, saving: bool = False) -> Injection:
    return Injection(KINDS[kind], saving, position=0.0, share=0.5)


def test_the_segments_of_a_run_are_all_of_its_time():
    events = [event("begin", 0, 12.0), event("step", 1, 12.5), event("end", 1, 14.0)]
    parts = segments(events, started=10.0, ended=15.0)
    assert [part.event for part in parts] == ["start", "begin", "step", "end"]
    assert sum(part.seconds for part in parts) == 5.0
    assert parts[2].seconds == 1.5


def test_moments_are_uniform_in_time():
    chance = random.Random(0)
    drawn = [moment_at(PARTS, chance.random()) for _ in range(20000)]
    total = sum(part.seconds for part in PARTS)
    count = Counter((moment.event, moment.iteration) for moment in drawn)
    for part in PARTS:
        share = count[part.event, part.iteration] / len(drawn)
        assert share == pytest.approx(part.seconds / total, rel=0.35)
    lengths = {(part.event, part.iteration): part.seconds for part in PARTS}
    assert all(0 <= m.delay <= lengths[m.event, m.iteration] for m in drawn)


def test_a_resumed_run_is_not_struck_where_it_does_not_come():
    rest = after_resuming(PARTS, 5)
    assert {part.iteration for part in rest} == {0, *range(6, ITERATIONS + 1)}
    assert [part.event for part in rest[:2]] == ["start", "begin"]


def test_faults_strike_where_they_mean_something():
    saving = eligible(injection("SIGKILL, all processes", saving=True), PARTS, 3)
    assert {part.event for part in saving} <= set(SAVING)
    assert min(part.iteration for part in saving) == 4
    # There has to be a checkpoint to cut off, and one to come on the full disk.
    cut = eligible(injection("SIGKILL, then the newest checkpoint cut off"), PARTS, 0)
    assert min(part.iteration for part in cut) == 2
    full = eligible(injection("disk full"), PARTS, 0)
    assert max(part.iteration for part in full) == ITERATIONS - 1
    worker = eligible(injection("SIGKILL, one worker"), PARTS, 0)
    assert min(part.iteration for part in worker) == 1
    # All that is left is the end.
    assert eligible(injection("disk full"), PARTS, ITERATIONS) == PARTS[:2]


def test_the_seed_decides_the_trials():
    first, again, other = (list(islice(draw_trials(s), 30)) for s in (0, 0, 1))
    assert first == again
    assert first != other
    struck = [item for trial in first for item in trial.injections]
    assert {item.kind.name for item in struck} == set(KINDS)
    assert 0.1 < sum(item.saving for item in struck) / len(struck) < 0.45
    assert {len(trial.injections) for trial in first} == {1, 2, 3}
    assert {trial.start for trial in first} == {"fork", "command"}


@pytest.mark.parametrize(
    ("kind", "code", "steps", "output", "wrong"),
    [
        ("SIGTERM", 143, 3, "", []),
        ("SIGTERM", 0, 3, "", ["ends with code 0"]),
        ("SIGTERM", 0, ITERATIONS, "", []),
        ("SIGTERM", 1, ITERATIONS, "", ["ends with code 1"]),
        ("SIGTERM", -15, None, "", []),
        ("SIGINT", 1, None, "", []),
        ("SIGKILL, one worker", None, 3, "", ["hangs"]),
        ("disk full", 2, 3, "it cannot be written", []),
        ("disk full", 2, 3, "error", ["does not say why"]),
        ("disk full", 0, 3, "", ["ends with code 0"]),
        ("disk full", 0, ITERATIONS, "", ["ends with code 0"]),
    ],
)
def test_complaints(kind, code, steps, output, wrong):
    events = [event("build", 0)]
    if steps is not None:
        events += [event("begin", 0), event("stepped", steps)]
    assert complaints(KINDS[kind], code, False, events, output) == wrong


@pytest.mark.parametrize(
    ("kind", "code", "struck", "late"),
    [
        # The last checkpoint is begun at second 5.
        ("disk full", 0, 5.5, True),
        ("disk full", 0, 4.5, False),
        ("disk full", 2, 5.5, False),
        ("SIGKILL, main process", 0, 4.5, True),
        ("SIGKILL, main process", -9, 4.5, False),
        ("SIGKILL, main process", None, 4.5, False),
        ("SIGTERM", 0, 5.5, False),
    ],
)
def test_a_fault_after_which_nothing_was_to_be_done_is_none(kind, code, struck, late):
    events = [event("begin", 0), event("save best", 12, 5.0)]
    assert came_too_late(KINDS[kind], code, events, struck) is late
