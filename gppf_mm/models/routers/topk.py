"""Sparse routing by learned logits."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from gppf_mm.registry import MODELS

from .learned import LearnedRouter
from .schedule import Points

Gradient = Literal["masked_softmax", "straight_through"]


@MODELS.register_module()
class TopKRouter(LearnedRouter):
    """Takes the k units with the largest scores, mixed by a softmax over those k.

    Among equal scores the first units count. A group of fewer units takes all that it
    has.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        k: Active units per layer; or pairs ``(iteration, k)``, each of which holds up
            to the next: ``[(0, 4), (750, 2)]``.
        gradient: How the logits learn. With ``'masked_softmax'`` from the softmax over
            the k units, so that units compete only with the active ones. With
            ``'straight_through'`` from the active units' share of the softmax over all
            K: the values are the same, and the logits of inactive units move too.
            Defaults to ``'straight_through'`` (our choice).
        shared_units: The first so many units are in every task's mix, and the other
            active ones are chosen among the rest, so that knowledge is shared by
            construction. Defaults to 0.
        init_std: Standard deviation of the first logits. Defaults to 0.01.
        seed: Seed of the first logits and of the noise. Defaults to 0.
        temperature: See `LearnedRouter`. Defaults to 1.0.
        noise: See `LearnedRouter`; at strength 1 the units are drawn without
            replacement (Kool et al., arXiv 1903.06059). Defaults to 0.0.
        freeze_at: See `LearnedRouter`. Defaults to None.
        affinity: See `LearnedRouter`. Defaults to none.
        initial_routes: See `LearnedRouter`. Defaults to None.

    Raises:
        ValueError: If ``k`` units cannot be chosen, or could never be learned.

    Examples:
        >>> router = TopKRouter(["det"], ["layer1"], num_units=4, k=[(0, 3), (10, 2)])
        >>> _ = router.logits["det"].data.copy_(torch.tensor([0.0, 3.0, 1.0, 2.0]))
        >>> router.draw("det", step=9).units(), router.draw("det", step=10).units()
        ({'layer1': (1, 2, 3)}, {'layer1': (1, 3)})
    """

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        k: int | Points,
        gradient: Gradient = "straight_through",
        shared_units: int = 0,
        init_std: float = 0.01,
        seed: int = 0,
        temperature: float | Points = 1.0,
        noise: float | Points = 0.0,
        freeze_at: int | None = None,
        affinity: Sequence[Sequence[str]] = (),
        initial_routes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(
            tasks,
            groups,
            num_units,
            init_std,
            seed,
            temperature,
            noise,
            freeze_at,
            affinity,
            initial_routes,
        )
        counts = self.add_schedule(
            "k", k, "step", lambda x: int(x) == x, "whole numbers of units"
        ).numbers
        if not 1 <= min(counts) <= max(counts) <= num_units:
            raise ValueError(
                f"`lego.router.k` is {k} and `lego.num_units` is {num_units}; expected "
                "1 <= k <= num_units. Lower k or add units."
            )
        if type(shared_units) is not int or not 0 <= shared_units < min(counts):
            raise ValueError(
                f"`lego.router.shared_units` is {shared_units} and `lego.router.k` is "
                f"{k}; expected a whole number, 0 <= shared_units < k, since k counts "
                "the shared units."
            )
        if gradient not in get_args(Gradient):
            raise ValueError(
                f"`lego.router.gradient` is {gradient!r}; expected one of "
                f"{get_args(Gradient)}."
            )
        if max(counts) == 1 < num_units and gradient == "masked_softmax":
            raise ValueError(
                "`lego.router.gradient` is 'masked_softmax' and `lego.router.k` is 1: "
                "a softmax over one unit is constant, so the routes would never be "
                "learned. Use gradient='straight_through' or k >= 2."
            )
        self.k = k
        self.gradient = gradient
        self.shared_units = shared_units

    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """See `BaseRouter.route`."""
        scores = self.scores(task, step)
        # No finite logit outranks a shared unit.
        rank = scores.detach().clone()
        rank[:, : self.shared_units] = torch.inf
        count = int(self.schedules["k"](step))
        # Not `topk`, which chooses among equal ones as the device likes: a run on a GPU
        # would be exported on a CPU with other units.
        order = rank.sort(dim=-1, descending=True, stable=True).indices
        units = order[:, :count].sort(dim=-1).values
        weights = scores.gather(-1, units).softmax(dim=-1)
        if self.gradient == "straight_through":
            dense = scores.softmax(dim=-1).gather(-1, units)
            weights = weights.detach() + (dense - dense.detach())
        return units, weights
