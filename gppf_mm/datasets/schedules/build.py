"""A schedule from its config."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from gppf_mm.registry import DATA_SAMPLERS
from gppf_mm.utils.messages import check_names

from .base import TaskSchedule
from .every_task import EveryTaskSchedule

_WHERE = "train_cfg.schedule"


def build_schedule(
    cfg: Mapping[str, Any] | None, sizes: Mapping[str, int]
) -> TaskSchedule:
    """Build a task schedule.

    Args:
        cfg: Its config, ``train_cfg.schedule``; None for every task in every step.
        sizes: The samples in each task's training set, by task.

    Raises:
        TypeError: If it is no config of a schedule.
        ValueError: If it has a key that the schedule does not know, or a bad value.
    """
    if cfg is None:
        return EveryTaskSchedule(sizes)
    if not isinstance(cfg, Mapping) or "type" not in cfg:
        raise TypeError(
            f"`{_WHERE}` is {cfg!r}; expected the config of a task schedule, such as "
            "dict(type='gppf_mm.RoundRobinSchedule')."
        )
    arguments = {key: value for key, value in cfg.items() if key != "type"}
    kind = cfg["type"]
    kind = DATA_SAMPLERS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, TaskSchedule)):
        raise TypeError(
            f"`{_WHERE}.type` is {cfg['type']!r}, which is no task schedule; expected "
            "'gppf_mm.EveryTaskSchedule', 'gppf_mm.RoundRobinSchedule', "
            "'gppf_mm.ProportionalSchedule', 'gppf_mm.TemperatureSchedule', "
            "'gppf_mm.RandomSchedule', or a class of your own, registered in "
            "DATA_SAMPLERS, that derives from gppf_mm.datasets.TaskSchedule."
        )
    known = [name for name in signature(kind).parameters if name != "sizes"]
    check_names(_WHERE, arguments, ["type", *known])
    return DATA_SAMPLERS.build(dict(type=kind, sizes=sizes, **arguments))
