"""The shared network: one bank, one router and every task's skeleton."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gppf_mm.utils.messages import check_mapping

from .build_router import build_router
from .channels_last import take_channels_last
from .layout import Parts, by_part, collect_statistics, first_values, lay_out
from .lego import (
    STATISTICS,
    LegoBank,
    Mismatch,
    NormMode,
    NumUnits,
    PlacementRule,
    Route,
    RoutingPlan,
    Skeleton,
)
from .origins import StepOrigins
from .plans import PlanCache
from .task_weights import Gather, TaskWeights

_ROUTER = "dict(type='gppf_mm.TopKRouter', k=2, group='block')"


class LegoNetwork(nn.Module):
    """One bank and one router under the skeletons of several tasks.

    The skeletons stay where they are, in their stock models; this module owns the
    parameters that they share.

    Args:
        parts: For each task the stock networks to share, by the part's name, such as
            ``{'det': {'backbone': detector.backbone}}``. They are changed in place.
            A task may lack a part that others have. The bank's first value of a
            parameter is that of the first task that has it.
        num_units: Units per layer, K: one number, one for each stage of the backbone,
            or some by pattern over routing groups; see `count_units`.
        router: Config of the router, with the key ``group`` besides the router's own:
            ``'layer'``, ``'block'`` or ``'stage'``, by default ``'block'``.
        placement: Rules before the default ones, see `place_parameters`, a preset's
            name, see `find_shared`, or both in a list. Defaults to none.
        mismatch: What happens to parameters in which the tasks that have a part
            differ: ``'error'``, or ``'private'``, each task keeps its own. Defaults to
            ``'error'``.
        channels_last: Run convolutions in ``torch.channels_last``, which on a GPU with
            AMP is the faster format. Defaults to False.
        norm: ``'private'``: each task has its own normalisation layers. ``'shared'``:
            all have the same, with one set of running statistics. ``'unit'``: units
            have them, with K sets of running statistics; see `RunningStatistics`.
            Rules of ``placement`` win over it, and a batch norm's statistics are where
            its weight is, but private with ``'private'``, the default.
        share: The parts' names, in the order in which the bank has them. Defaults to
            none, that in which they are met.

    Raises:
        TypeError: If the router's config is no dict.
        ValueError: If a placement rule matches nothing, nothing is left that has units,
            or the tasks disagree on a shared parameter's name or shape.
    """

    def __init__(
        self,
        parts: Mapping[str, Parts],
        num_units: NumUnits,
        router: dict,
        placement: str | Sequence[str | PlacementRule] = (),
        mismatch: Mismatch = "error",
        channels_last: bool = False,
        norm: NormMode = "private",
        share: Sequence[str] = (),
    ) -> None:
        super().__init__()
        networks = {task: nn.ModuleDict(modules) for task, modules in parts.items()}
        values = {
            task: dict(network.named_parameters()) for task, network in networks.items()
        }
        check_mapping("lego.router", router, _ROUTER)
        # What a checkpoint does not hold, and a transfer compares.
        self.router_cfg = dict(router)
        router = dict(router)
        layout = lay_out(
            parts,
            num_units,
            router.pop("group", "block"),
            placement,
            mismatch,
            norm,
            share,
        )
        self.groups = layout.groups
        self.norm = norm
        self.bank = LegoBank(
            by_part(first_values(values, layout.placements, "lego"), share),
            by_part(first_values(values, layout.placements, "shared"), share),
            layout.units,
        )
        self.router = build_router(router, tuple(parts), layout.group_units)
        self._norms = layout.norms
        self.statistics = collect_statistics(layout)
        # The iteration is part of the checkpoint: schedules go on from it, and a
        # checkpoint is tested with the temperature at which it was saved.
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._step = 0
        # Where the tasks' schedules begin, if they have been trained before.
        self.origins: StepOrigins | None = None
        self._plans = PlanCache()
        self._laid: dict[str, RoutingPlan] = {}
        self._skeletons = {
            task: Skeleton(network, layout.placements[task] | layout.buffers(task))
            for task, network in networks.items()
        }
        self._weights = TaskWeights(
            self.bank,
            self.groups,
            self._skeletons,
            self.statistics,
            self._norms,
            {
                task: take_channels_last(modules) if channels_last else frozenset()
                for task, modules in parts.items()
            },
        )

    def gather_with(self, gather: Gather) -> None:
        """Let a sharded bank's weights be made whole; see `ShardedWeights`."""
        self._weights.gather = gather

    def shared_names(self, task: str) -> tuple[str, ...]:
        """Names of the bank's parameters that a task has, tied ones by the first."""
        return self._skeletons[task].names

    def frozen_names(self, task: str) -> frozenset[str]:
        """Names of the bank's parameters that a task's recipe does not train."""
        return self._skeletons[task].frozen

    def groups_of(self, task: str) -> frozenset[str]:
        """Names of the routing groups that a task's parameters are in."""
        names = self.shared_names(task)
        return frozenset(self.groups[name] for name in names if name in self.groups)

    def active_parameters(self, task: str) -> list[nn.Parameter]:
        """Return what of bank and router a task trains in the present step."""
        trained = frozenset(self.shared_names(task)) - self.frozen_names(task)
        logits = self.router.trained_parameters(task, self.step_of(task))
        sources = [*self._weights.sources(self.draw(task), trained), *logits]
        return [source for source in sources if source.requires_grad]

    def rest_frozen_routes(self) -> None:
        """Take away gradients that routes got earlier in the step that freezes them."""
        trained = {
            id(parameter)
            for task in self.router.tasks
            for parameter in self.router.trained_parameters(task, self.step_of(task))
        }
        for parameter in self.router.parameters():
            if id(parameter) not in trained:
                parameter.grad = None

    def running_statistics(self, task: str) -> list[Tensor]:
        """Return the running statistics outside a task that its present step moves."""
        return self.statistics.active(self.draw(task), self._norms[task])

    def laid_statistics(self, task: str) -> list[Tensor]:
        """Return what passes of an active task move until it is no longer active."""
        return [
            getattr(layer, leaf)
            for layer in self._norms[task].values()
            for leaf in STATISTICS
        ]

    def leading_units(self, task: str) -> dict[str, int]:
        """Return the unit that weighs most in a task's evaluation plan, by layer.

        Layers without units have that of their routing group, if it has one.
        """
        training = self.router.training
        self.router.eval()
        routes = self.router.draw(task, self.step_of(task)).routes
        self.router.train(training)
        leading = {group: _leading(route) for group, route in routes.items()}
        return {
            name.rpartition(".")[0]: leading[group]
            for name, group in self.groups.items()
            if group in leading
        }

    def fill(
        self, draws: Sequence[Mapping[str, Tensor]], perturbation: float = 0.0
    ) -> None:
        """Give the bank and its running statistics first values; see `LegoBank.fill`.

        Args:
            draws: Sets of values by name.
            perturbation: Noise on the units that start from one set. Defaults to 0.
        """
        self.bank.fill(draws, perturbation)
        self.statistics.fill(draws)

    @property
    def iteration(self) -> int:
        """The training iteration, as `set_step` was told it."""
        return self._step

    def set_step(self, step: int) -> None:
        """Tell the training iteration, on which schedules and noise depend."""
        self._step = step
        self.step.fill_(step)

    def step_of(self, task: str) -> int:
        """Return where a task's routing schedule is in the present step."""
        if self.origins is None:
            return self._step
        return self.origins.position(task, self._step)

    def draw(self, task: str) -> RoutingPlan:
        """Return a task's plan for the present step, which is drawn once."""
        return self._plans.draw(self.router, task, self.step_of(task))

    def weights(self, task: str, plan: RoutingPlan | None = None) -> dict[str, Tensor]:
        """Assemble a task's weights.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, that of the present step.

        Returns:
            The weights and running statistics by name, tied ones by all their names.
            In evaluation mode without gradients they are kept and returned again until
            a unit, the router, the step or the mode changes.
        """
        if plan is not None:
            return self._weights.of(task, plan)
        if self.training or torch.is_grad_enabled():
            return self._weights.of(task, self.draw(task))
        routes, step = self.router.parameters_of(task), self.step_of(task)
        return self._weights.kept(task, self.draw, routes, step)

    @contextmanager
    def activate(self, task: str, plan: RoutingPlan | None = None) -> Iterator[None]:
        """Lay a task's weights into its skeleton, for a forward and a backward pass.

        Args:
            task: The task.
            plan: Its plan. Defaults to None, that of the present step.
        """
        self.lay(task, plan)
        try:
            yield
        finally:
            self.clear(task)

    def lay(self, task: str, plan: RoutingPlan | None = None) -> None:
        """Lay a task's weights into its skeleton, where they stay until `clear`."""
        self.absorb(task)
        if plan is None and self._norms[task] and self.training:
            plan = self.draw(task)
        self._skeletons[task].lay(self.weights(task, plan))
        if plan is not None:
            self._laid[task] = plan

    def clear(self, task: str) -> None:
        """Take a task's weights out of its skeleton."""
        self.absorb(task)
        self._skeletons[task].clear()

    def absorb(self, task: str) -> None:
        """Let units learn, once, what passes did to the statistics that were laid."""
        plan = self._laid.pop(task, None)
        if plan is not None:
            self.statistics.absorb(plan, self._norms[task])

    def train(self, mode: bool = True) -> "LegoNetwork":
        """Set the mode; forget weights and plans, which `.data` may have changed."""
        self._forget()
        return super().train(mode)

    def _apply(self, fn, recurse: bool = True) -> "LegoNetwork":
        self._forget()
        return super()._apply(fn, recurse)

    def _forget(self) -> None:
        self._weights.forget()
        self._plans.clear()

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._forget()
        self._step = int(self.step)


def _leading(route: Route) -> int:
    values = route.values or (1.0,)
    return route.units[values.index(max(values))]
