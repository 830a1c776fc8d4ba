"""Sparse routing that explores."""

from collections.abc import Sequence

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import is_number

from .schedule import Points
from .topk import Gradient, TopKRouter


@MODELS.register_module()
class GumbelTopKRouter(TopKRouter):
    """Is `TopKRouter` with noise and a temperature that fall together.

    The temperature falls geometrically from ``temperature`` to ``min_temperature`` over
    ``anneal_iters``, and the noise linearly from strength 1 to none (our choice).

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        k: Active units per layer, or pairs ``(iteration, k)``; see `TopKRouter`.
        anneal_iters: Iterations over which temperature and noise fall.
        temperature: First temperature. Defaults to 1.0.
        min_temperature: Last temperature. Defaults to 0.1.
        gradient: How the logits learn; see `TopKRouter`. Defaults to
            ``'straight_through'``.
        shared_units: Units that are in every task's mix. Defaults to 0.
        init_std: Standard deviation of the first logits. Defaults to 0.01.
        seed: Seed of the first logits and of the noise. Defaults to 0.

    Raises:
        ValueError: If a temperature or ``anneal_iters`` is no positive number, or the
            last temperature is above the first.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        k: int | Points,
        anneal_iters: int,
        temperature: float = 1.0,
        min_temperature: float = 0.1,
        gradient: Gradient = "straight_through",
        shared_units: int = 0,
        init_std: float = 0.01,
        seed: int = 0,
    ) -> None:
        numbers = (temperature, min_temperature, anneal_iters)
        if (
            not all(map(is_number, numbers))
            or not 0 < min_temperature <= temperature
            or anneal_iters < 1
        ):
            raise ValueError(
                f"`lego.router` has temperature={temperature!r}, min_temperature="
                f"{min_temperature!r} and anneal_iters={anneal_iters!r}; expected "
                "numbers, 0 < min_temperature <= temperature and anneal_iters >= 1."
            )
        super().__init__(
            tasks,
            groups,
            num_units,
            k,
            gradient,
            shared_units,
            init_std,
            seed,
            temperature=[(0, temperature), (anneal_iters, min_temperature)],
            noise=[(0, 1.0), (anneal_iters, 0.0)],
        )
        self.anneal_iters = anneal_iters
        self.temperature = temperature
        self.min_temperature = min_temperature
