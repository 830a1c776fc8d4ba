"""The shared network: one bank, one router and every task's skeleton."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from gppf_mm.registry import MODELS

from .lego import (
    Grouping,
    LegoBank,
    PlacementRule,
    RoutingPlan,
    Skeleton,
    assemble,
    check_rules,
    group_parameters,
    place_parameters,
)
from .lego.placement import Placement

Parts = Mapping[str, nn.Module]


class LegoNetwork(nn.Module):
    """One bank and one router under the skeletons of several tasks.

    The skeletons stay where they are, in their stock models; this module owns the
    parameters that they share.

    Args:
        parts: For each task the stock networks to share, by a name that all tasks have
            in common, such as ``{'det': {'backbone': detector.backbone}}``. They are
            changed in place. The first task's values become the bank's first values.
        num_units: Units per layer, K.
        router: Config of the router, with the key ``group`` besides the router's own:
            ``'layer'``, ``'block'`` or ``'stage'``. Defaults to ``'block'``.
        placement: Rules before the default ones, see `place_parameters`. Defaults to
            none.

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
    ) -> None:
        super().__init__()
        placements, values = {}, {}
        for task, networks in parts.items():
            network = nn.ModuleDict(networks)
            placements[task] = place_parameters(network, placement)
            values[task] = {
                name: parameter
                for name, parameter in network.named_parameters()
                if placements[task][name] != "private"
            }
        check_rules(placement, list(dict.fromkeys(chain(*placements.values()))))
        reference = next(iter(parts))
        for task in parts:
            _check_agreement(reference, task, placements, values)
        router = dict(router)
        self.groups = _group(parts[reference], router.pop("group", "block"))
        self.bank = LegoBank(
            _select(values[reference], placements[reference], "lego"),
            _select(values[reference], placements[reference], "shared"),
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
        self._skeletons = {
            task: Skeleton(nn.ModuleDict(networks), placements[task])
            for task, networks in parts.items()
        }

    def set_step(self, step: int) -> None:
        """Tell the training iteration, on which schedules and noise depend."""
        self._step = step
        self.step.fill_(step)

    def draw(self, task: str) -> RoutingPlan:
        """Draw a task's plan for the present step."""
        return self.router.draw(task, self._step)

    def weights(self, task: str, plan: RoutingPlan | None = None) -> dict[str, Tensor]:
        """Assemble a task's weights.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, a fresh draw.

        Returns:
            The weights by name. In evaluation mode without gradients they are kept and
            returned again until a unit, the router or the mode changes.
        """
        cached = plan is None and not self.training and not torch.is_grad_enabled()
        if not cached:
            plan = self.draw(task) if plan is None else plan
            return assemble(self.bank, plan, self.groups, self._skeletons[task].frozen)
        if task not in self._cache or self._cache[task].is_stale():
            plan = self.draw(task)
            weights = assemble(self.bank, plan, self.groups)
            self._cache[task] = _Cached(weights, self._sources(task, plan))
        return self._cache[task].weights

    def _sources(self, task: str, plan: RoutingPlan) -> list[nn.Parameter]:
        """Return the parameters that a task's weights depend on."""
        units = [
            self.bank.units(name)[unit]
            for name in self.bank.lego_names
            for unit in plan.routes[self.groups[name]].units
        ]
        return units + list(self.router.parameters())

    @contextmanager
    def activate(self, task: str, plan: RoutingPlan | None = None) -> Iterator[None]:
        """Lay a task's weights into its skeleton, for a forward and a backward pass.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, a fresh draw.
        """
        skeleton = self._skeletons[task]
        skeleton.lay(self.weights(task, plan))
        try:
            yield
        finally:
            skeleton.clear()

    def train(self, mode: bool = True) -> "LegoNetwork":
        """Set the mode and forget cached weights, which `.data` may have changed."""
        self._cache.clear()
        return super().train(mode)

    def _apply(self, fn, recurse: bool = True) -> "LegoNetwork":
        self._cache.clear()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._cache.clear()
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
    values: Mapping[str, Tensor], placement: Mapping[str, Placement], which: Placement
) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if placement[name] == which}


def _group(parts: Parts, by: Grouping) -> dict[str, str]:
    return {
        f"{part}.{name}": f"{part}.{group}"
        for part, network in parts.items()
        for name, group in group_parameters(network, by).items()
    }


def _check_agreement(
    reference: str,
    task: str,
    placements: Mapping[str, Mapping[str, Placement]],
    values: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Require that two tasks share the same parameters in the same shapes."""
    ours, theirs = values[reference], values[task]
    for name in dict.fromkeys([*ours, *theirs]):
        found = [
            f"{tuple(side[name].shape)} ({placements[of][name]})"
            if name in side
            else "missing"
            for of, side in ((reference, ours), (task, theirs))
        ]
        if found[0] != found[1]:
            raise ValueError(
                f"`model.tasks.{reference}` and `model.tasks.{task}` differ in the "
                f"shared parameter {name!r}: {found[0]} in {reference!r}, {found[1]} "
                f"in {task!r}; tasks over one bank need the same names and shapes. "
                "Give both the same backbone type, depth and width, or make the "
                "parameter private with "
                f"`model.lego.placement=[({name!r}, 'private')]`."
            )
