"""Units used evenly."""

from torch import Tensor

from gppf_mm.registry import MODELS

from .base import RoutingRegularizer


@MODELS.register_module()
class BalanceLoss(RoutingRegularizer):
    r"""Draws the units of each group towards even use by the tasks together.

    Reason: routing feeds on itself. A unit that is picked learns, fits better and is
    picked again; one that nobody picks stays as it was, and the bank is in truth
    smaller than K. Each task may be as sharp as it likes: the *mean* :math:`\bar p`
    over the tasks is drawn to the even distribution, by the squared coefficient of
    variation of a unit's use (Shazeer et al., arXiv 1701.06538), averaged over the
    groups:
    :math:`K \sum_u \bar p_u^2 - 1`. It is 0 if the units are used evenly, K - 1 if all
    tasks use one unit. With fewer tasks than units it also flattens, as it must.

    Args:
        weight: See `RoutingRegularizer`.
    """

    name = "balance"

    def forward(self, probabilities: Tensor) -> Tensor:
        """See `RoutingRegularizer.forward`."""
        use = probabilities.mean(dim=0)
        return (use.shape[-1] * use.square().sum(dim=-1) - 1).mean()
