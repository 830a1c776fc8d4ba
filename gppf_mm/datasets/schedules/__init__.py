"""Task schedules: which tasks a step trains.

A step of SIMT trains every task. Multi-task training is often compared with steps of a
single task, drawn in turn or at random; a schedule is the one place where they differ.

Examples:
    >>> schedule = RoundRobinSchedule({"det": 100, "seg": 20}, batches={"seg": 3})
    >>> [schedule.counts(step, seed=0) for step in range(3)]
    [{'det': 1}, {'seg': 3}, {'det': 1}]
    >>> schedule.before(1_000_001, seed=0)
    {'det': 500001, 'seg': 1500000}
"""

from .base import TaskSchedule
from .build import build_schedule
from .every_task import EveryTaskSchedule
from .proportional import ProportionalSchedule
from .random_task import RandomSchedule
from .round_robin import RoundRobinSchedule
from .temperature import TemperatureSchedule

__all__ = [
    "EveryTaskSchedule",
    "ProportionalSchedule",
    "RandomSchedule",
    "RoundRobinSchedule",
    "TaskSchedule",
    "TemperatureSchedule",
    "build_schedule",
]
