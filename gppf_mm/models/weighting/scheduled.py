"""Weights that change with the iteration."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_tasks

from .base import Weighting

Interpolation = Literal["linear", "step"]
Points = Sequence[tuple[int, float]]


@MODELS.register_module()
class ScheduledWeighting(Weighting):
    """Weighs each task by a function of the iteration.

    Args:
        tasks: The tasks; GPPF sets them.
        points: For each task pairs of an iteration and the weight there, in rising
            order. Before the first and after the last the weight stays. The task's
            ``loss_weights`` is multiplied by it.
        interpolation: Between two points, ``'linear'`` or ``'step'``, the weight of the
            earlier one. Defaults to ``'linear'`` (our choice).

    Raises:
        ValueError: If a task has no points, or they do not rise.

    Examples:
        >>> points = dict(det=[(0, 1.0)], seg=[(0, 0.0), (100, 1.0)])
        >>> weighting = ScheduledWeighting(("det", "seg"), points)
        >>> weighting.weight("det", 25), weighting.weight("seg", 25)
        (1.0, 0.25)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        points: Mapping[str, Points],
        interpolation: Interpolation = "linear",
    ) -> None:
        super().__init__(tasks)
        check_tasks("model.weighting.points", points, tasks)
        for task, pairs in points.items():
            rises = all(one[0] < other[0] for one, other in pairwise(pairs))
            if not pairs or any(len(pair) != 2 for pair in pairs) or not rises:
                raise ValueError(
                    f"`model.weighting.points.{task}` is {pairs!r}; expected pairs of "
                    "an iteration and a weight with rising iterations, such as "
                    "[(0, 0.0), (1000, 1.0)]."
                )
        if interpolation not in get_args(Interpolation):
            raise ValueError(
                f"`model.weighting.interpolation` is {interpolation!r}; expected one "
                f"of {get_args(Interpolation)}."
            )
        self.points = {task: [*map(tuple, points[task])] for task in tasks}
        self.interpolation = interpolation

    def weight(self, task: str, step: int) -> float:
        """Return a task's weight at an iteration."""
        pairs = self.points[task]
        if step < pairs[0][0]:
            return pairs[0][1]
        for (begin, first), (end, last) in pairwise(pairs):
            if step < end:
                passed = (step - begin) / (end - begin)
                linear = self.interpolation == "linear"
                return first + (last - first) * passed if linear else first
        return pairs[-1][1]

    def weigh(
        self, losses: Mapping[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        """See `Weighting.weigh`."""
        return {
            task: torch.as_tensor(self.weight(task, step)).to(loss)
            for task, loss in losses.items()
        }
