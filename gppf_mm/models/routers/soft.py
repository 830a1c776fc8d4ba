"""Dense routing."""

from torch import Tensor, arange

from gppf_mm.registry import MODELS

from .learned import LearnedRouter


@MODELS.register_module()
class SoftRouter(LearnedRouter):
    """Mixes all K units by a softmax over the task's scores (our choice).

    One assembled pass costs the same for any number of units, so dense mixing costs no
    more compute than sparse mixing; it only gives up sparse updates. Its arguments are
    those of `LearnedRouter`.
    """

    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """See `BaseRouter.route`."""
        weights = self.scores(task, step).softmax(dim=-1)
        units = arange(self.num_units, device=weights.device).expand_as(weights)
        return units, weights
