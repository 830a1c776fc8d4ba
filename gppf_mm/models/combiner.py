"""From the tasks' own gradients to those of the optimizer."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .gradients import GradientRows
from .products import InnerProducts
from .statistics import Sets, gradient_statistics
from .task_clip import TaskClip
from .weighting import Weighting

PrivateGradients = Mapping[str, Sequence[Tensor]]


class GradientCombiner:
    """Keeps the tasks' gradients apart where something needs them so, and joins them.

    Without a weighting, clipping by task and statistics nothing is kept apart:
    gradients add up in ``.grad``, at no cost.

    Args:
        weighting: How much each task counts. None is the plain sum.
        clip: Clipping of each task's gradients. None is none.
        interval: Optimizer steps from one measurement of the gradients to the next; 0
            is none.

    Attributes:
        rows: The gradients that are kept apart.
    """

    def __init__(
        self, weighting: Weighting | None, clip: TaskClip | None, interval: int
    ) -> None:
        whole = isinstance(interval, (int, float)) and float(interval).is_integer()
        if isinstance(interval, bool) or not whole or interval < 0:
            raise ValueError(
                f"`model.gradient_stats_interval` is {interval!r}; expected a number "
                "of optimizer steps, or 0 for no statistics."
            )
        self.rows = GradientRows()
        self._weighting = weighting
        self._clip = clip
        self._interval = int(interval)
        self._inner = InnerProducts()
        self._apart: bool | None = None
        self._measures = False

    @property
    def method(self) -> str:
        """What joins the gradients, by name."""
        return "Sum" if self._weighting is None else self._weighting.method

    def shard(self, inner: InnerProducts) -> None:
        """Go on with gradients of which each process has its rows.

        Args:
            inner: Takes inner products over the processes.

        Raises:
            ValueError: If the weighting needs whole gradients.
        """
        self._inner = inner
        if self._weighting is not None:
            self._weighting.shard(inner)

    def begin(self, iteration: int, accumulative_counts: int) -> bool:
        """Begin an iteration; return whether its gradients are kept apart.

        What the first iteration of an optimizer step decides holds for all of it.

        Args:
            iteration: The training iteration.
            accumulative_counts: Iterations in one optimizer step.
        """
        if self._apart is None:
            step = iteration // accumulative_counts
            self._measures = self._interval > 0 and step % self._interval == 0
            needed = self._weighting is not None or self._clip is not None
            self._apart = needed or self._measures
        return self._apart

    @torch.no_grad()
    def combine(
        self,
        shared: Sequence[nn.Parameter],
        private: PrivateGradients,
        iteration: int,
        scale: float,
    ) -> dict[str, Tensor]:
        """Put what the rows become into ``.grad``, and end the optimizer step.

        Args:
            shared: The parameters that the tasks may have in common.
            private: The gradients of each task's own parameters, changed in place.
            iteration: The training iteration.
            scale: By this factor, that of a loss scaler, all gradients are too large.

        Returns:
            Values to log: the tasks' weights, and the statistics where they are due.
            Gradients by weights that are not finite are to be dropped.
        """
        tasks = list(private)
        sets = self.rows.sets(tasks, shared)
        log: dict[str, Tensor] = {}
        if self._measures:
            log.update(gradient_statistics(self.rows, sets, tasks, scale, self._inner))
        if self._clip is not None:
            for task in tasks:
                row = self.rows.of(task)
                self._clip.clip(row, private[task], scale, self._inner)
        log.update(self._weigh(sets, private, iteration, scale))
        self.end()
        return log

    def end(self) -> None:
        """End an optimizer step."""
        self._apart = None
        self.rows.clear()

    def _gradients(self, task: str, private: PrivateGradients) -> list[Tensor]:
        return [*self.rows.of(task).values(), *private[task]]

    def _weigh(
        self, sets: Sets, private: PrivateGradients, iteration: int, scale: float
    ) -> dict[str, Tensor]:
        """Weigh and join the rows; return the tasks' weights."""
        weighting = self._weighting or Weighting(tuple(private))
        losses = self.rows.losses
        if not losses:
            return {}
        device = next(iter(losses.values())).device
        with weighting.randomness(iteration, device):
            weights = weighting.weigh(losses, iteration, scale)
            for task, weight in weights.items():
                for gradient in self._gradients(task, private):
                    gradient.mul_(weight)
            means = _Means()
            for members, parameters in sets.items():
                rows = [self.rows.of(task) for task in members]
                if len(rows) == 1:
                    for parameter in parameters:
                        parameter.grad = rows[0].pop(parameter)
                    continue
                found = weighting.aggregate(members, parameters, rows, scale)
                means.add(members, found, self._inner.size(parameters))
        weights = {**means.read(), **weights}
        return {f"{task}/weight": weight for task, weight in weights.items()}


class _Means:
    """Each task's weight, averaged over the parameters that it has in common."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._sizes: dict[str, int] = {}

    def add(self, tasks: Sequence[str], weights: Tensor | None, size: int) -> None:
        if weights is None:
            return
        for task, weight in zip(tasks, weights.unbind(), strict=True):
            self._sums[task] = self._sums.get(task, 0) + weight * size
            self._sizes[task] = self._sizes.get(task, 0) + size

    def read(self) -> dict[str, Tensor]:
        return {task: total / self._sizes[task] for task, total in self._sums.items()}
