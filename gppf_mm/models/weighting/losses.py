"""Weighting by a scalarizer of torchjd: from the losses alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .base import Weighting
from .state import read_state, write_state

# These divide by a task's loss, or learn a scale to it, which grows without end where
# the loss is always 0.
_NEED_LOSSES = ("DWA", "FAMO", "GeometricMean", "IMTLL", "UW")


class LossWeighting(Weighting):
    """Weighs each task by the derivative of a scalarizer with respect to its loss.

    That is what one backward pass through the scalarizer would do, without all tasks'
    graphs in memory at once. Parameters of the scalarizer (UW, IMTLL) are the model's
    and are trained by its optimizer.

    FAMO wants to see the losses of the same batch again after the step; it gets those
    of the next step's batch instead, which costs no second pass (our choice). A task
    that takes no part in a step keeps its place with its last loss (our choice).

    Args:
        tasks: The tasks.
        scalarizer: A scalarizer of torchjd for as many values.
        epoch_length: Optimizer steps after which DWA takes its averages. Defaults to
            None, for the others.
        seed: Seed of random weights. Defaults to 0.

    Raises:
        ValueError: If ``epoch_length`` is no number of steps.
    """

    last_losses: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        scalarizer: nn.Module,
        epoch_length: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(tasks, seed)
        if epoch_length is not None and (
            type(epoch_length) is not int or epoch_length < 1
        ):
            raise ValueError(
                f"`model.weighting.epoch_length` is {epoch_length!r}; expected a "
                "number of optimizer steps, at least 1."
            )
        self.method = type(scalarizer).__name__
        self.scalarizer = scalarizer
        self._no_memory = read_state(scalarizer)
        self.epoch_length = epoch_length
        self.register_buffer("last_losses", torch.full((len(self.tasks),), torch.nan))

    def check_loss_weights(self, loss_weights: Mapping[str, float]) -> None:
        """See `Weighting.check_loss_weights`."""
        for task in self.tasks:
            if self.method in _NEED_LOSSES and not loss_weights[task]:
                raise ValueError(
                    f"`model.loss_weights.{task}` is {loss_weights[task]!r}; expected "
                    f"a number above 0, because `model.weighting` ({self.method}) "
                    "finds a task's weight from its loss, and finds none where that "
                    "is always 0. Give the task a weight, take it out of "
                    "`model.tasks`, or choose another method, such as "
                    "'ScheduledWeighting'."
                )

    def weigh(
        self, losses: Mapping[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        """See `Weighting.weigh`; the method's own parameters get their gradients.

        Where a weight is not finite they get none, and are what they were before; what
        the method remembers besides is forgotten, since it may be the cause. That goes
        for a task too whose parameter would get a gradient that is not finite.
        """
        if not losses:
            return {}
        moved = [self.last_losses, *self.scalarizer.parameters()]
        before = [item.detach().clone() for item in moved]
        values = self._values(losses)
        if getattr(self.scalarizer, "_prev_losses", None) is not None:
            self.scalarizer.update(values)
        with torch.enable_grad():
            total = self.scalarizer(values.requires_grad_())
        own = [item for item in self.scalarizer.parameters() if item.requires_grad]
        weights, *gradients = torch.autograd.grad(
            total, [values, *own], allow_unused=True
        )
        for gradient in gradients:
            if gradient is not None:
                # Adds 0 where the gradient is finite, else NaN.
                weights = weights + 0 * gradient
        if not weights.isfinite().all():
            with torch.no_grad():
                for item, value in zip(moved, before, strict=True):
                    item.copy_(value)
            write_state(self.scalarizer, self._no_memory, self.last_losses.device)
            return self._of_present(weights, losses)
        there = torch.tensor([task in losses for task in self.tasks])
        for parameter, gradient in zip(own, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient * there.to(gradient) * scale
        if self.epoch_length and self.scalarizer._n_batches >= self.epoch_length:
            self.scalarizer.step()
        return self._of_present(weights, losses)

    def _of_present(
        self, weights: Tensor, losses: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {task: weights[self.tasks.index(task)] for task in losses}

    def _values(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return all tasks' losses, of shape ``(tasks,)``."""
        for index, task in enumerate(self.tasks):
            if task in losses:
                self.last_losses[index] = losses[task]
        # A task that never took part yet is an average one.
        return torch.where(
            self.last_losses.isnan(), self.last_losses.nanmean(), self.last_losses
        )

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the scalarizer remembers besides parameters and buffers."""
        return read_state(self.scalarizer)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Let the scalarizer remember; see `get_extra_state`."""
        write_state(self.scalarizer, state, self.last_losses.device)

    def _apply(self, fn, recurse: bool = True) -> "LossWeighting":
        # torchjd keeps weights and histories as plain attributes.
        for name, value in list(vars(self.scalarizer).items()):
            if isinstance(value, Tensor):
                setattr(self.scalarizer, name, fn(value))
        return super()._apply(fn, recurse)
