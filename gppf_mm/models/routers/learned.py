"""Routers with one logit for each task, group and unit."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gppf_mm.utils.messages import check_mapping, check_number

from .base import BaseRouter
from .first_logits import check_group_units, first_logits
from .schedule import Interpolation, Points, Schedule


class LearnedRouter(BaseRouter):
    r"""A router that learns logits: explores, sharpens and freezes.

    Each task's logits are a parameter of their own, ``logits.<task>`` of shape
    ``(groups, K)``, so that a task which takes no part in a step leaves them untouched.
    Units are ranked and mixed by scores :math:`(l + s n) / \tau`, with the logits
    :math:`l`, Gumbel noise :math:`n` of strength :math:`s` and the temperature
    :math:`\tau`. Noise explores in training alone; a falling temperature sharpens.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K.
        init_std: Standard deviation of the first logits. It breaks the tie between
            units, differently for each task. Defaults to 0.01 (our choice).
        seed: Seed of the first logits and of the noise. Defaults to 0.
        temperature: A number above 0, or pairs ``(iteration, number)`` between which
            it goes geometrically. Defaults to 1.0.
        noise: Strength of the noise: 1 samples from the softmax over the logits, 0 is
            none; or pairs ``(iteration, strength)``, linear in between. Defaults to 0.
        freeze_at: The iteration from which the routes stay as they are: no noise, the
            logits get no gradient, and the optimizer leaves them alone. Defaults to
            None, never.
        affinity: Lists of tasks that start with the same routes; see `first_logits`.
            Defaults to none.
        initial_routes: By task, the units that it starts with; see `first_logits`.
            Defaults to None.

    Attributes:
        schedules: ``temperature`` and ``noise`` as functions of the iteration.

    Raises:
        TypeError: If ``initial_routes`` are no dict.
        ValueError: If one of these cannot be, or a schedule goes on when routes are
            frozen already.
    """

    # How many of the first units are no choice; see `TopKRouter`.
    shared_units = 0

    def __init__(
        self,
        tasks: Sequence[str],
        groups: Sequence[str],
        num_units: int,
        init_std: float = 0.01,
        seed: int = 0,
        temperature: float | Points = 1.0,
        noise: float | Points = 0.0,
        freeze_at: int | None = None,
        affinity: Sequence[Sequence[str]] = (),
        initial_routes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(tasks, groups, num_units, seed)
        check_number("lego.router.init_std", init_std)
        if freeze_at is not None and (type(freeze_at) is not int or freeze_at < 0):
            raise ValueError(
                f"`lego.router.freeze_at` is {freeze_at!r}; expected an iteration, "
                "counted from 0, or None."
            )
        self.freeze_at = freeze_at
        self.schedules: dict[str, Schedule] = {}
        self.add_schedule(
            "temperature", temperature, "geometric", lambda x: x > 0, "numbers above 0"
        )
        self.add_schedule("noise", noise, "linear", lambda x: x >= 0, "numbers from 0")
        initial_routes = initial_routes or {}
        example = f"dict({self.tasks[0]}=[0])"
        check_mapping("lego.router.initial_routes", initial_routes, example)
        self.initial_routes = dict(initial_routes)
        self.logits = nn.ParameterDict()
        shape = (len(self.groups), num_units)
        first = first_logits(
            self.tasks, shape, init_std, seed, affinity, initial_routes
        )
        for task in self.tasks:
            self.logits[task] = nn.Parameter(first[task])

    def limit_units(self, group_units: Sequence[int]) -> None:
        """See `BaseRouter.limit_units`.

        Raises:
            ValueError: If ``initial_routes`` are more than a group has.
        """
        super().limit_units(group_units)
        where = "lego.router.initial_routes"
        check_group_units(where, self.initial_routes, self.groups, group_units)

    def add_schedule(
        self,
        name: str,
        value: float | Points,
        interpolation: Interpolation,
        allowed: Callable[[float], bool],
        expected: str,
    ) -> Schedule:
        """Make one of the router's keys a function of the iteration; see `Schedule`.

        Raises:
            ValueError: If the value is not allowed, or goes on when routes are frozen.
        """
        key = f"lego.router.{name}"
        schedule = Schedule(key, value, interpolation, allowed, expected)
        if self.freeze_at is not None and schedule.end > self.freeze_at:
            raise ValueError(
                f"`{key}` changes up to iteration {schedule.end}, but the "
                f"routes are frozen from `lego.router.freeze_at`, {self.freeze_at}. "
                "Freeze later, or let the schedule end there."
            )
        self.schedules[name] = schedule
        return schedule

    def is_frozen(self, step: int) -> bool:
        """Return whether the routes are frozen at an iteration."""
        return self.freeze_at is not None and step >= self.freeze_at

    def parameters_of(self, task: str) -> list[nn.Parameter]:
        """Return the task's logits."""
        return [self.logits[task]]

    def trained_parameters(self, task: str, step: int) -> list[nn.Parameter]:
        """Return the task's logits, unless they are frozen."""
        return [] if self.is_frozen(step) else self.parameters_of(task)

    def scores(self, task: str, step: int) -> Tensor:
        """Return what the units are ranked and mixed by, of shape ``(groups, K)``."""
        logits = self.logits[task]
        if self.is_frozen(step):
            logits = logits.detach()
        elif self._explores(task) and (strength := self.schedules["noise"](step)) > 0:
            uniform = torch.rand(logits.shape, generator=self.generator(task, step))
            noise = -(-uniform.clamp_min(1e-20).log()).log()
            logits = logits + strength * noise.to(logits)
        return self.present(logits / self.schedules["temperature"](step))

    def _explores(self, task: str) -> bool:
        """Return whether there may be noise: frozen routes have no use for it."""
        return self.training and self.logits[task].requires_grad

    def probabilities(self, task: str, step: int = 0) -> Tensor:
        """Return a task's softmax over the units, without noise.

        Args:
            task: The task.
            step: The training iteration, for the temperature. Defaults to 0.

        Returns:
            Probabilities of shape ``(groups, K)``.
        """
        scores = self.logits[task] / self.schedules["temperature"](step)
        return self.present(scores).softmax(dim=-1)
