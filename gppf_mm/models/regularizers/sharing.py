"""Units in common."""

from typing import Literal, get_args

from torch import Tensor
from torch.nn.functional import normalize

from gppf_mm.registry import MODELS

from ..routers.schedule import Points
from .base import RoutingRegularizer

Direction = Literal["together", "apart"]


@MODELS.register_module()
class SharingLoss(RoutingRegularizer):
    """Draws the tasks towards common units, or away from them (our choice).

    Reason: a task alone has no gain from another one's units at first, for they have
    not been trained for it; with small data sets it pays to be drawn together. Tasks
    that are known to disturb each other are better pushed apart early, before they
    have spoiled a common unit. Alike are two tasks as far as the cosine of their
    distributions over a group's units says; it is averaged over pairs and groups, and
    does not ask a distribution to be sharp or flat.

    Args:
        weight: See `RoutingRegularizer`.
        direction: ``'together'``: 0 if all tasks have equal routes, 1 if no two have a
            unit in common. ``'apart'``: the reverse; it parts tasks while their routes
            are near the start, and hardly those that are sharp on one unit already.
            Defaults to ``'together'``.

    Raises:
        ValueError: If the direction is neither.
    """

    name = "sharing"

    def __init__(
        self, weight: float | Points, direction: Direction = "together"
    ) -> None:
        super().__init__(weight)
        self.direction = self.choose("direction", direction, get_args(Direction))

    def forward(self, probabilities: Tensor) -> Tensor:
        """See `RoutingRegularizer.forward`."""
        tasks = probabilities.shape[0]
        if tasks < 2:
            return 0 * probabilities.sum()  # No pair.
        units = normalize(probabilities, dim=-1)
        # The square of a sum is the sum over all pairs, each task with itself too.
        alike = (
            units.sum(dim=0).square().sum(dim=-1).mean()
            - units.square().sum(dim=-1).sum(dim=0).mean()
        )
        cosine = alike / (tasks * (tasks - 1))
        return cosine if self.direction == "apart" else 1 - cosine
