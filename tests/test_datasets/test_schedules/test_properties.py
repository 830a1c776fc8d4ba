"""What holds for every schedule."""

from collections import Counter

import pytest

from gppf_mm.datasets import TaskSchedule, build_schedule

SIZES = dict(det=1000, seg=200, cls=5000)
BATCHES = dict(det=2)
CONFIGS = [
    dict(type="gppf_mm.EveryTaskSchedule"),
    dict(type="gppf_mm.RoundRobinSchedule"),
    dict(type="gppf_mm.RandomSchedule"),
    dict(type="gppf_mm.RandomSchedule", probabilities=dict(seg=0.2, det=0.5, cls=0.3)),
    dict(type="gppf_mm.ProportionalSchedule"),
    dict(type="gppf_mm.TemperatureSchedule", temperature=5),
]


@pytest.fixture(params=CONFIGS, ids=lambda cfg: cfg["type"].removeprefix("gppf_mm."))
def schedule(request: pytest.FixtureRequest) -> TaskSchedule:
    return build_schedule(dict(request.param, batches=BATCHES), SIZES)


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_before_a_step_are_those_that_the_steps_took(
    schedule: TaskSchedule, seed: int
):
    taken: Counter[str] = Counter(dict.fromkeys(SIZES, 0))
    for step in range(100):
        assert schedule.before(step, seed) == taken
        taken.update(schedule.counts(step, seed))


def test_steps_far_away_are_counted_too(schedule: TaskSchedule):
    start, count = 3 * 2**20 - 7, 20
    taken = Counter(schedule.before(start, 0))
    for step in range(start, start + count):
        taken.update(schedule.counts(step, 0))
    assert schedule.before(start + count, 0) == taken


def test_each_step_trains_a_task_in_the_order_of_the_config(schedule: TaskSchedule):
    for step in range(50):
        counts = schedule.counts(step, 0)
        assert counts
        assert list(counts) == [task for task in SIZES if task in counts]
        assert all(counts[task] == BATCHES.get(task, 1) for task in counts)


def test_the_rates_are_those_of_a_long_run(schedule: TaskSchedule):
    steps = 10**6
    taken = schedule.before(steps, seed=3)
    for task, rate in schedule.rates().items():
        # Five standard deviations of a proportion, of two batches at most.
        assert taken[task] / steps == pytest.approx(rate, abs=5 * 2 * 0.5 / 1000)
    assert sum(schedule.shares().values()) == pytest.approx(
        len(schedule.counts(0, seed=0))
    )


def test_any_step_can_be_asked_first(schedule: TaskSchedule):
    forwards = [schedule.counts(step, 0) for step in range(30)]
    assert forwards == [schedule.counts(step, 0) for step in range(30)[::-1]][::-1]
