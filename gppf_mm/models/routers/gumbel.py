"""Sparse routing that explores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gppf_mm.registry import MODELS

from .topk import Gradient, TopKRouter


@MODELS.register_module()
class GumbelTopKRouter(TopKRouter):
    r"""Top-k over logits with Gumbel noise and a temperature that is annealed.

    In training the scores are :math:`(l + n) / \tau` with Gumbel noise :math:`n`; top-k
    over them samples k units without replacement (Kool et al., arXiv 1903.06059). The
    temperature falls geometrically from ``temperature`` to ``min_temperature`` over
    ``anneal_iters``, and the noise falls with it, from full strength to none (our
    choice). In evaluation the scores are the logits over the present temperature.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        k: Active units per layer.
        anneal_iters: Iterations over which temperature and noise fall.
        temperature: First temperature. Defaults to 1.0.
        min_temperature: Last temperature. Defaults to 0.1.
        gradient: How the logits learn; see `TopKRouter`. Defaults to
            ``'straight_through'``.
        shared_units: Units that are in every task's mix. Defaults to 0.
        init_std: Standard deviation of the first logits. Defaults to 0.01.
        seed: Seed of the first logits and of the noise. Defaults to 0.

    Raises:
        ValueError: If a temperature or ``anneal_iters`` is not positive, or the last
            temperature is above the first.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        k: int,
        anneal_iters: int,
        temperature: float = 1.0,
        min_temperature: float = 0.1,
        gradient: Gradient = "straight_through",
        shared_units: int = 0,
        init_std: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__(
            tasks, groups, num_units, k, gradient, shared_units, init_std, seed
        )
        if not 0 < min_temperature <= temperature or anneal_iters < 1:
            raise ValueError(
                f"`lego.router` has temperature={temperature}, min_temperature="
                f"{min_temperature} and anneal_iters={anneal_iters}; expected "
                "0 < min_temperature <= temperature and anneal_iters >= 1."
            )
        self.anneal_iters = anneal_iters
        self.temperature = temperature
        self.min_temperature = min_temperature

    def scores(self, task: str, step: int) -> Tensor:
        """See `TopKRouter.scores`."""
        logits = self.logits[task]
        progress = min(step / self.anneal_iters, 1.0)
        if self.training and progress < 1:
            uniform = torch.rand(logits.shape, generator=self.generator(task, step))
            noise = -(-uniform.clamp_min(1e-20).log()).log()
            logits = logits + (1 - progress) * noise.to(logits)
        ratio = self.min_temperature / self.temperature
        return logits / (self.temperature * ratio**progress)
