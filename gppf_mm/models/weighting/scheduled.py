"""Weights that change with the iteration."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_mapping, check_tasks

from ..routers.schedule import Points, Schedule
from .base import Weighting

Interpolation = Literal["linear", "step"]
_WHERE = "model.weighting"


@MODELS.register_module()
class ScheduledWeighting(Weighting):
    """Weighs each task by a function of the iteration.

    Args:
        tasks: The tasks; GPPF sets them.
        points: For each task pairs of an iteration and the weight there, in rising
            order; or a number. Before the first and after the last the weight stays.
            The task's ``loss_weights`` is multiplied by it.
        interpolation: Between two points, ``'linear'`` or ``'step'``, the weight of the
            earlier one. Defaults to ``'linear'`` (our choice).

    Raises:
        TypeError: If ``points`` is no dict.
        ValueError: If a task has no points, or they do not rise.

    Examples:
        >>> points = dict(det=1.0, seg=[(0, 0.0), (100, 1.0)])
        >>> weighting = ScheduledWeighting(("det", "seg"), points)
        >>> weighting.weight("det", 25), weighting.weight("seg", 25)
        (1.0, 0.25)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        points: Mapping[str, float | Points],
        interpolation: Interpolation = "linear",
    ) -> None:
        super().__init__(tasks)
        example = f"dict({self.tasks[0]}=[(0, 0.0), (1000, 1.0)], ...)"
        check_mapping(f"{_WHERE}.points", points, example)
        check_tasks(f"{_WHERE}.points", points, tasks)
        if interpolation not in get_args(Interpolation):
            raise ValueError(
                f"`{_WHERE}.interpolation` is {interpolation!r}; expected one "
                f"of {get_args(Interpolation)}."
            )
        self.schedules = {
            task: Schedule(f"{_WHERE}.points.{task}", points[task], interpolation)
            for task in tasks
        }

    def weight(self, task: str, step: int) -> float:
        """Return a task's weight at an iteration."""
        return self.schedules[task](step)

    def weigh(
        self, losses: Mapping[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        """See `Weighting.weigh`."""
        return {
            task: torch.full_like(loss, self.weight(task, step))
            for task, loss in losses.items()
        }
