"""What every task weighting has in common."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gppf_mm.utils.seeding import derive_seed

from ..gradients import Row
from ..products import InnerProducts


class Weighting(nn.Module):
    """Decides how much each task counts; this base class takes the plain sum.

    A subclass overrides `weigh`, which scales all gradients of a task, or `aggregate`,
    which combines the tasks' gradients on the parameters that they have in common.

    Args:
        tasks: The tasks.
        seed: Seed of the method's random numbers. Defaults to 0.

    Attributes:
        method: The method's name, for messages.
        inner: Takes inner products of the tasks' gradients, also where each process has
            a part of them, as with a sharded bank.
    """

    def __init__(self, tasks: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.seed = seed
        self.method = type(self).__name__
        self.inner = InnerProducts()

    def check_loss_weights(self, loss_weights: Mapping[str, float]) -> None:
        """Refuse fixed weights of the losses that the method cannot work with.

        Args:
            loss_weights: By task, from 0; also of tasks that are none of the method's.

        Raises:
            ValueError: If there is such a weight.
        """

    def shard(self, inner: InnerProducts) -> None:
        """Go on with gradients of which each process has its rows.

        Args:
            inner: Takes inner products over the processes.

        Raises:
            ValueError: If the method needs whole gradients.
        """
        self.inner = inner

    def weigh(
        self, losses: Mapping[str, Tensor], step: int, scale: float
    ) -> dict[str, Tensor]:
        """Return a factor for each task's gradients, by default none: 1 for all.

        Where one is not finite the step is left out; what the method remembers must not
        suffer from it.

        Args:
            losses: The losses of the tasks that take part, detached scalars.
            step: The training iteration.
            scale: By this factor, that of a loss scaler, the step's gradients are too
                large; those of the method's own parameters have to be as well.
        """
        return {}

    def aggregate(
        self,
        tasks: tuple[str, ...],
        parameters: Sequence[nn.Parameter],
        rows: Sequence[Row],
        scale: float,
    ) -> Tensor | None:
        """Put what several tasks' gradients become into ``.grad``.

        Args:
            tasks: The tasks, at least two.
            parameters: The parameters that just these tasks train.
            rows: The tasks' gradients, which are taken out.
            scale: By this factor, that of a loss scaler, they are too large, and what
                they become has to be as well.

        Returns:
            The weights that the tasks' gradients got, of shape ``(tasks,)``, or None if
            they do not say more than `weigh` or the result is no weighted sum.
        """
        for parameter in parameters:
            first, *others = (row.pop(parameter) for row in rows)
            for gradient in others:
                first.add_(gradient)
            parameter.grad = first
        return None

    @contextmanager
    def randomness(self, step: int, device: torch.device) -> Iterator[None]:
        """Give the method the same random numbers on all ranks and after a resume.

        Args:
            step: The training iteration.
            device: The device of the model.
        """
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed(self.seed, "weighting", step))
            yield
