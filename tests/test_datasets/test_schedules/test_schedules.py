from itertools import pairwise

import numpy as np
import pytest

from gppf_mm.datasets import build_schedule
from gppf_mm.datasets.schedules import (
    EveryTaskSchedule,
    ProportionalSchedule,
    RandomSchedule,
    RoundRobinSchedule,
    TaskSchedule,
    TemperatureSchedule,
)
from gppf_mm.registry import DATA_SAMPLERS

SIZES = dict(det=1000, seg=200, cls=5000)


def drawn(schedule: TaskSchedule, steps: int, seed: int = 0) -> list[str]:
    return [next(iter(schedule.counts(step, seed))) for step in range(steps)]


def test_without_a_config_every_step_has_every_task():
    schedule = build_schedule(None, SIZES)
    assert isinstance(schedule, EveryTaskSchedule)
    assert schedule.counts(8, 0) == dict(det=1, seg=1, cls=1)


def test_round_robin_takes_turns():
    assert drawn(RoundRobinSchedule(SIZES), 6) == [*SIZES, *SIZES]


def test_draws_depend_on_the_seed_and_not_on_each_other():
    schedule = RandomSchedule(SIZES)
    first, second = drawn(schedule, 2000, seed=0), drawn(schedule, 2000, seed=1)
    assert first != second
    # Nor do neighbours: equal ones are as frequent as chance has it.
    equal = np.mean([one == other for one, other in pairwise(first)])
    assert equal == pytest.approx(1 / 3, abs=0.05)


def test_temperature_flattens_the_sizes():
    proportional = ProportionalSchedule(SIZES).shares()
    assert proportional["cls"] / proportional["seg"] == pytest.approx(25)
    assert TemperatureSchedule(SIZES, temperature=1).shares() == proportional
    square_root = TemperatureSchedule(SIZES, temperature=2).shares()
    assert square_root["cls"] / square_root["seg"] == pytest.approx(5)
    even = TemperatureSchedule(SIZES, temperature=1e9).shares()
    assert even == pytest.approx(RandomSchedule(SIZES).shares())
    greedy = TemperatureSchedule(SIZES, temperature=0.01).shares()
    assert greedy["cls"] == pytest.approx(1)
    # Also where the greedy one is the first.
    last = TemperatureSchedule(dict(sorted(SIZES.items())), temperature=0.01)
    assert last.trained(3, seed=0) == ("cls",)
    assert last.turns(50, seed=0)["cls"] == 50


def test_a_schedule_of_ones_own():
    @DATA_SAMPLERS.register_module(name="FirstTaskSchedule", force=True)
    class FirstTaskSchedule(EveryTaskSchedule):
        def trained(self, step: int, seed: int) -> tuple[str, ...]:
            return self.tasks[:1]

    schedule = build_schedule(dict(type="gppf_mm.FirstTaskSchedule"), SIZES)
    assert schedule.counts(3, 0) == dict(det=1)


@pytest.mark.parametrize(
    ("cfg", "error", "message"),
    [
        ("RoundRobin", TypeError, r"`train_cfg\.schedule` is 'RoundRobin'"),
        (dict(batches=dict(det=2)), TypeError, r"expected the config of a task sched"),
        (dict(type="DefaultSampler"), TypeError, "which is no task schedule"),
        (dict(type="gppf_mm.Nothing"), TypeError, "'gppf_mm.Nothing', which is no"),
        (
            dict(type="gppf_mm.RandomSchedule", probability={}),
            ValueError,
            "unknown key 'probability'.* Did you mean 'probabilities'",
        ),
        (
            dict(type="gppf_mm.RoundRobinSchedule", batches=dict(dett=1)),
            ValueError,
            r"`train_cfg\.schedule\.batches` has an unknown key 'dett'",
        ),
        (
            dict(type="gppf_mm.RoundRobinSchedule", batches=dict(det=0)),
            ValueError,
            r"`train_cfg\.schedule\.batches\.det` is 0",
        ),
        (
            dict(type="gppf_mm.RandomSchedule", probabilities=dict(det=0.5, cls=0.5)),
            ValueError,
            "no entry for task 'seg'",
        ),
        (
            dict(
                type="gppf_mm.RandomSchedule",
                probabilities=dict(det=0.5, cls=0.4, seg=0.2),
            ),
            ValueError,
            "with the sum 1.1",
        ),
        (
            dict(
                type="gppf_mm.RandomSchedule",
                probabilities=dict(det=1.0, cls=0.5, seg=-0.5),
            ),
            ValueError,
            "expected a positive number",
        ),
        (
            dict(type="gppf_mm.TemperatureSchedule", temperature=0),
            ValueError,
            r"`train_cfg\.schedule\.temperature` is 0",
        ),
        (
            dict(type="gppf_mm.TemperatureSchedule", temperature="2"),
            ValueError,
            r"`train_cfg\.schedule\.temperature` is '2'",
        ),
        (
            dict(type="gppf_mm.EveryTaskSchedule", batches=2),
            TypeError,
            r"`train_cfg\.schedule\.batches` is 2; expected a dict.*dict\(det=2\)",
        ),
        (
            dict(type="gppf_mm.RandomSchedule", probabilities=[0.5, 0.3, 0.2]),
            TypeError,
            r"`train_cfg\.schedule\.probabilities` is \[.*; expected a dict",
        ),
        (
            dict(
                type="gppf_mm.RandomSchedule",
                probabilities=dict(det="0.5", cls=0.3, seg=0.2),
            ),
            ValueError,
            r"`train_cfg\.schedule\.probabilities\.det` is '0\.5'",
        ),
    ],
)
def test_a_bad_config_is_an_error_that_names_the_key(
    cfg: object, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        build_schedule(cfg, SIZES)
