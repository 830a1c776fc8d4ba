"""The shared network: one bank, one router and every task's skeleton."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from gppf_mm.registry import MODELS

from .channels_last import take_channels_last, to_channels_last
from .lego import (
    Difference,
    Grouping,
    LegoBank,
    Mismatch,
    Placement,
    PlacementRule,
    RoutingPlan,
    Skeleton,
    assemble,
    check_rules,
    group_parameters,
    place_parameters,
    settle_placements,
)
from .plans import PlanCache

Parts = Mapping[str, nn.Module]


class LegoNetwork(nn.Module):
    """One bank and one router under the skeletons of several tasks.

    The skeletons stay where they are, in their stock models; this module owns the
    parameters that they share.

    Args:
        parts: For each task the stock networks to share, by the part's name, such as
            ``{'det': {'backbone': detector.backbone}}``. They are changed in place.
            A task may lack a part that others have. The bank's first value of a
            parameter is that of the first task that has it.
        num_units: Units per layer, K.
        router: Config of the router, with the key ``group`` besides the router's own:
            ``'layer'``, ``'block'`` or ``'stage'``. Defaults to ``'block'``.
        placement: Rules before the default ones, see `place_parameters`. Defaults to
            none.
        mismatch: What happens to parameters in which the tasks that have a part
            differ: ``'error'``, or ``'private'``, each task keeps its own. Defaults to
            ``'error'``.
        channels_last: Run convolutions in ``torch.channels_last``, which on a GPU with
            AMP is the faster format. Defaults to False.

    Raises:
        ValueError: If a placement rule matches nothing, or the tasks disagree on a
            shared parameter's name or shape.
    """

    def __init__(
        self,
        parts: Mapping[str, Parts],
        num_units: int,
        router: dict,
        placement: Sequence[PlacementRule] = (),
        mismatch: Mismatch = "error",
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        networks = {task: nn.ModuleDict(modules) for task, modules in parts.items()}
        values = {
            task: dict(network.named_parameters()) for task, network in networks.items()
        }
        placements = {
            task: place_parameters(network, placement)
            for task, network in networks.items()
        }
        check_rules(placement, list(dict.fromkeys(chain(*placements.values()))))
        placements, differences = settle_placements(placements, values, mismatch)
        if differences:
            _log_private(differences)
        router = dict(router)
        self.groups = _groups(parts, router.pop("group", "block"))
        self.bank = LegoBank(
            _select(values, placements, "lego"),
            _select(values, placements, "shared"),
            num_units,
        )
        self.router = MODELS.build(
            router,
            default_args=dict(
                tasks=tuple(parts),
                groups=tuple(
                    dict.fromkeys(self.groups[name] for name in self.bank.lego_names)
                ),
                num_units=num_units,
            ),
        )
        # The iteration is part of the checkpoint: schedules go on from it, and a
        # checkpoint is tested with the temperature at which it was saved.
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._step = 0
        self._cache: dict[str, _Cached] = {}
        self._plans = PlanCache()
        # Makes whole weights of a bank that is sharded; see `ShardedWeights`.
        self.gather: Callable[[str, dict[str, Tensor]], dict[str, Tensor]] | None = None
        self._skeletons = {
            task: Skeleton(network, placements[task])
            for task, network in networks.items()
        }
        self._channels_last = {
            task: take_channels_last(modules) if channels_last else frozenset()
            for task, modules in parts.items()
        }

    def shared_names(self, task: str) -> tuple[str, ...]:
        """Names of the bank's parameters that a task has, tied ones by the first."""
        return self._skeletons[task].names

    def frozen_names(self, task: str) -> frozenset[str]:
        """Names of the bank's parameters that a task's recipe does not train."""
        return self._skeletons[task].frozen

    def active_parameters(self, task: str) -> list[nn.Parameter]:
        """Return what of bank and router a task trains in the present step."""
        trained = frozenset(self.shared_names(task)) - self.frozen_names(task)
        logits = self.router.trained_parameters(task, self._step)
        return [*self._sources(self.draw(task), trained), *logits]

    def rest_frozen_routes(self) -> None:
        """Take away gradients that routes got earlier in the step that freezes them."""
        trained = {
            id(parameter)
            for task in self.router.tasks
            for parameter in self.router.trained_parameters(task, self._step)
        }
        for parameter in self.router.parameters():
            if id(parameter) not in trained:
                parameter.grad = None

    @property
    def iteration(self) -> int:
        """The training iteration, as `set_step` was told it."""
        return self._step

    def set_step(self, step: int) -> None:
        """Tell the training iteration, on which schedules and noise depend."""
        self._step = step
        self.step.fill_(step)

    def draw(self, task: str) -> RoutingPlan:
        """Return a task's plan for the present step, which is drawn once."""
        return self._plans.draw(self.router, task, self._step)

    def weights(self, task: str, plan: RoutingPlan | None = None) -> dict[str, Tensor]:
        """Assemble a task's weights.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, that of the present step.

        Returns:
            The weights by name, tied ones by all their names. In evaluation mode
            without gradients they are kept and returned again until a unit, the router
            or the mode changes.
        """
        cached = plan is None and not self.training and not torch.is_grad_enabled()
        if not cached:
            plan = self.draw(task) if plan is None else plan
            return self._assemble(task, plan, self._skeletons[task].frozen)
        if task not in self._cache or self._cache[task].is_stale():
            plan = self.draw(task)
            weights = self._assemble(task, plan, frozenset())
            names = frozenset(self._skeletons[task].names)
            sources = self._sources(plan, names)
            sources += self.router.parameters_of(task)
            self._cache[task] = _Cached(weights, sources)
        return self._cache[task].weights

    def _assemble(
        self, task: str, plan: RoutingPlan, frozen: frozenset[str]
    ) -> dict[str, Tensor]:
        skeleton = self._skeletons[task]
        names = frozenset(skeleton.names)
        weights = assemble(self.bank, plan, self.groups, frozen, names)
        if self.gather is not None:
            self._cache.clear()  # For all tasks there may be no room.
            weights = self.gather(task, weights)
        weights = to_channels_last(weights, self._channels_last[task])
        tied = {name: weights[first] for name, first in skeleton.aliases.items()}
        return weights | tied

    def _sources(self, plan: RoutingPlan, names: frozenset[str]) -> list[nn.Parameter]:
        """Return what of the bank a plan makes the weights of these names from."""
        units = [
            self.bank.unit(name, unit)
            for name in self.bank.lego_names
            if name in names
            for unit in plan.routes[self.groups[name]].units
        ]
        shared = [self.bank.parameter(n) for n in self.bank.shared_names if n in names]
        return [*units, *shared]

    @contextmanager
    def activate(self, task: str, plan: RoutingPlan | None = None) -> Iterator[None]:
        """Lay a task's weights into its skeleton, for a forward and a backward pass.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, that of the present step.
        """
        skeleton = self._skeletons[task]
        skeleton.lay(self.weights(task, plan))
        try:
            yield
        finally:
            skeleton.clear()

    def train(self, mode: bool = True) -> "LegoNetwork":
        """Set the mode; forget weights and plans, which `.data` may have changed."""
        self._forget()
        return super().train(mode)

    def _apply(self, fn, recurse: bool = True) -> "LegoNetwork":
        self._forget()
        return super()._apply(fn, recurse)

    def _forget(self) -> None:
        self._cache.clear()
        self._plans.clear()

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._forget()
        self._step = int(self.step)


class _Cached:
    """Assembled weights and the versions of what they were assembled from."""

    def __init__(
        self, weights: dict[str, Tensor], sources: Sequence[nn.Parameter]
    ) -> None:
        self.weights = weights
        self._sources = [(source, source._version) for source in sources]

    def is_stale(self) -> bool:
        return any(source._version != version for source, version in self._sources)


def _select(
    values: Mapping[str, Mapping[str, Tensor]],
    placements: Mapping[str, Mapping[str, Placement]],
    which: Placement,
) -> dict[str, Tensor]:
    """Return the parameters of one placement, each of the first task that has it."""
    selected: dict[str, Tensor] = {}
    for task, placement in placements.items():
        for name, where in placement.items():
            if where == which:
                selected.setdefault(name, values[task][name])
    return selected


def _groups(parts: Mapping[str, Parts], by: Grouping) -> dict[str, str]:
    """Name each parameter's routing group, as the first task has it that has it."""
    groups: dict[str, str] = {}
    for networks in parts.values():
        for part, network in networks.items():
            for name, group in group_parameters(network, by).items():
                groups.setdefault(f"{part}.{name}", f"{part}.{group}")
    return groups


def _log_private(differences: Sequence[Difference]) -> None:
    print_log(
        f"lego.mismatch='private': {len(differences)} parameter(s) of the shared parts "
        f"stay private because the tasks differ in them; the first is "
        f"{differences[0].name!r}.",
        logger="current",
    )
