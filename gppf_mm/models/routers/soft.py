"""Dense routing."""

from torch import Tensor, arange

from gppf_mm.registry import MODELS

from .learned import LearnedRouter


@MODELS.register_module()
class SoftRouter(LearnedRouter):
    """Mixes all K units by a softmax over the task's logits (our choice).

    One assembled pass costs the same for any number of units, so dense mixing costs no
    more compute than sparse mixing; it only gives up sparse updates.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        init_std: Standard deviation of the first logits. Defaults to 0.01.
        seed: Seed of the first logits. Defaults to 0.
    """

    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """See `BaseRouter.route`."""
        weights = self.probabilities(task)
        units = arange(self.num_units, device=weights.device).expand_as(weights)
        return units, weights
