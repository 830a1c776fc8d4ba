"""Routers with one logit for each task, group and unit."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gppf_mm.utils.seeding import derive_seed

from .base import BaseRouter


class LearnedRouter(BaseRouter):
    """A router that learns logits.

    Each task's logits are a parameter of their own, ``logits.<task>`` of shape
    ``(groups, K)``, so that a task which takes no part in a step leaves them untouched.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        init_std: Standard deviation of the first logits. It breaks the tie between
            units, differently for each task. Defaults to 0.01 (our choice).
        seed: Seed of the first logits and of the noise. Defaults to 0.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        init_std: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__(tasks, groups, num_units, seed)
        self.logits = nn.ParameterDict()
        for task in self.tasks:
            generator = torch.Generator().manual_seed(
                derive_seed(seed, "router logits", task)
            )
            noise = torch.randn(len(self.groups), num_units, generator=generator)
            self.logits[task] = nn.Parameter(init_std * noise)

    def parameters_of(self, task: str) -> list[nn.Parameter]:
        """Return the task's logits."""
        return [self.logits[task]]

    def probabilities(self, task: str) -> Tensor:
        """Return a task's softmax over the units, of shape ``(groups, K)``."""
        return self.present(self.logits[task]).softmax(dim=-1)
