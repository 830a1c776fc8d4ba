"""Sharp or flat choices."""

import math
from typing import Literal, get_args

from torch import Tensor, special

from gppf_mm.registry import MODELS

from ..routers.schedule import Points
from .base import RoutingRegularizer

Direction = Literal["sharp", "flat"]


@MODELS.register_module()
class EntropyLoss(RoutingRegularizer):
    """Draws each task's distribution towards a single unit, or towards all evenly.

    Reason: sharp, it lets a soft or wide start end in a choice by itself, so that going
    over to the k largest units changes little; a weight that rises with the iterations
    explores first. Flat, it keeps a short-lived lead from deciding the routes while the
    units hardly differ yet.

    Args:
        weight: See `RoutingRegularizer`.
        direction: ``'sharp'``: the entropy over its maximum log K, averaged over tasks
            and groups, from 0 to 1. ``'flat'``: 1 minus that. Defaults to
            ``'sharp'``.

    Raises:
        ValueError: If the direction is neither.
    """

    name = "entropy"

    def __init__(self, weight: float | Points, direction: Direction = "sharp") -> None:
        super().__init__(weight)
        self.direction = self.choose("direction", direction, get_args(Direction))

    def forward(self, probabilities: Tensor) -> Tensor:
        """See `RoutingRegularizer.forward`."""
        largest = math.log(max(probabilities.shape[-1], 2))
        # At 0 the derivative is infinite, and NaN behind a softmax.
        entropy = special.entr(probabilities.clamp_min(1e-12)).sum(dim=-1).mean()
        entropy = entropy / largest
        return entropy if self.direction == "sharp" else 1 - entropy
