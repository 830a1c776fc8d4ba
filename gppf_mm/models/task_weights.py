"""A task's weights: made from the bank by a plan, kept while nothing changes."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from .cached_weights import CachedWeights
from .channels_last import to_channels_last
from .lego import LegoBank, RoutingPlan, RunningStatistics, Skeleton, assemble

Gather = Callable[[str, dict[str, Tensor]], dict[str, Tensor]]


class TaskWeights:
    """Makes the weights that are laid into the tasks' skeletons.

    Args:
        bank: The bank.
        groups: The routing group of each lego parameter.
        skeletons: The tasks' skeletons.
        statistics: Running statistics outside the tasks.
        norms: The layers of each task that have such.
        channels_last: Names of each task's weights in that memory format.

    Attributes:
        gather: Makes whole weights of a bank that is sharded; None without.
    """

    def __init__(
        self,
        bank: LegoBank,
        groups: Mapping[str, str],
        skeletons: Mapping[str, Skeleton],
        statistics: RunningStatistics,
        norms: Mapping[str, Mapping[str, nn.Module]],
        channels_last: Mapping[str, frozenset[str]],
    ) -> None:
        self._bank = bank
        self._groups = groups
        self._skeletons = skeletons
        self._statistics = statistics
        self._norms = norms
        self._channels_last = channels_last
        self._kept: dict[str, CachedWeights] = {}
        self.gather: Gather | None = None

    def of(
        self, task: str, plan: RoutingPlan, frozen: frozenset[str] | None = None
    ) -> dict[str, Tensor]:
        """Assemble a task's weights.

        Args:
            task: The task.
            plan: Its plan.
            frozen: Names that get no gradient. Defaults to None, the skeleton's.

        Returns:
            The weights and running statistics by name, tied ones by all their names.
        """
        skeleton = self._skeletons[task]
        names = frozenset(skeleton.names)
        frozen = skeleton.frozen if frozen is None else frozen
        weights = assemble(self._bank, plan, self._groups, frozen, names)
        if self.gather is not None:
            self._kept.clear()  # For all tasks there may be no room.
            weights = self.gather(task, weights)
        weights = to_channels_last(weights, self._channels_last[task])
        weights |= self._statistics.assemble(plan, self._norms[task])
        tied = {name: weights[first] for name, first in skeleton.aliases.items()}
        return weights | tied

    def kept(
        self,
        task: str,
        draw: Callable[[str], RoutingPlan],
        routes: Sequence[nn.Parameter],
        step: int,
    ) -> dict[str, Tensor]:
        """Return a task's weights as they were, unless a source has changed.

        Args:
            task: The task.
            draw: Draws its plan, where the weights are made anew.
            routes: What of the router the plan depends on.
            step: The step that the plan is for.
        """
        if task not in self._kept or self._kept[task].is_stale(step):
            plan = draw(task)
            weights = self.of(task, plan, frozenset())
            names = frozenset(self._skeletons[task].names)
            sources: list[Tensor] = [*self.sources(plan, names), *routes]
            sources += self._statistics.active(plan, self._norms[task])
            self._kept[task] = CachedWeights(weights, sources, step)
        return self._kept[task].weights

    def forget(self) -> None:
        """Make all weights anew."""
        self._kept.clear()

    def sources(self, plan: RoutingPlan, names: frozenset[str]) -> list[nn.Parameter]:
        """Return what of the bank a plan makes the weights of these names from."""
        bank = self._bank
        units = [
            bank.unit(name, unit)
            for name in bank.lego_names
            if name in names
            for unit in plan.routes[self._groups[name]].units
        ]
        shared = [bank.parameter(name) for name in bank.shared_names if name in names]
        return [*units, *shared]
