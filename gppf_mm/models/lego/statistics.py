"""Running statistics of normalisation layers that tasks or units have in common."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from .bank import _descend
from .norms import is_norm
from .plan import Route, RoutingPlan

_MOMENTS = ("running_mean", "running_var")
_COUNTER = "num_batches_tracked"
STATISTICS = (*_MOMENTS, _COUNTER)
_ONLY = Route((0,))


class RunningStatistics(nn.Module):
    r"""The running statistics of batch norms, one set or one for each of K units.

    A layer of one set is updated in place, by every task, as in any network. So is a
    single active unit. Of several active units with mixing weights :math:`g_i` (which
    add up to 1) a task gets the mixture :math:`m = \sum_i g_i s_i`. When a batch has
    moved it, each unit's statistics move towards the batch's, :math:`b`, in proportion
    to the unit's weight:

    .. math:: s_i \leftarrow s_i + a\,\frac{g_i}{\sum_j g_j^2}\,(b - s_i)

    with the layer's momentum :math:`a`. So a mixture of equal units moves as fast as
    one unit would, and, the rate being 1 at most, no variance leaves the range of those
    seen. No gradient flows through statistics (all our choice).

    Names follow the stock network's: ``backbone.bn1.units.0.running_mean``.

    Args:
        layers: A layer with first values for each name in the network; see
            `find_statistics`.
        num_units: The number of sets of each, by name.
        groups: The routing group of those that have a set for each unit, by name.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        num_units: Mapping[str, int],
        groups: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._groups = dict(groups)
        # A second way to the same modules, by name. A plain dict is not registered.
        self._units: dict[str, list[nn.Module]] = {}
        for name, layer in layers.items():
            units = nn.ModuleList(nn.Module() for _ in range(num_units[name]))
            _descend(self, name).units = units
            self._units[name] = list(units)
            for unit in units:
                for leaf in STATISTICS:
                    unit.register_buffer(leaf, getattr(layer, leaf).detach().clone())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the buffers in the network."""
        return tuple(f"{layer}.{leaf}" for layer in self._units for leaf in STATISTICS)

    def moment_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of means and variances by their names in the network."""
        return {
            f"{layer}.{leaf}": tuple(getattr(units[0], leaf).shape)
            for layer, units in self._units.items()
            for leaf in _MOMENTS
        }

    def active(self, plan: RoutingPlan, layers: Iterable[str]) -> list[Tensor]:
        """Return the buffers of the sets that a plan activates in these layers."""
        return [
            buffer
            for layer in layers
            for unit in self._active(layer, self._route(layer, plan))
            for buffer in unit.buffers()
        ]

    @torch.no_grad()
    def assemble(self, plan: RoutingPlan, layers: Iterable[str]) -> dict[str, Tensor]:
        """Make one task's statistics.

        Args:
            plan: The task's routes.
            layers: Names of the task's layers.

        Returns:
            The buffers by their names in the network; those of a single set are it
            itself.
        """
        return {
            f"{layer}.{leaf}": value
            for layer in layers
            for leaf, value in self._mix(layer, self._route(layer, plan)).items()
        }

    @torch.no_grad()
    def absorb(self, plan: RoutingPlan, layers: Mapping[str, nn.Module]) -> None:
        """Let the active units learn what forward passes did to their mixtures.

        Args:
            plan: The plan that the mixtures were made by.
            layers: The task's layers by name, with the mixtures laid in.
        """
        for name, layer in layers.items():
            route = self._route(name, plan)
            if len(route.units) == 1 or not layer.training:
                continue
            units = self._active(name, route)
            before = self._mix(name, route)
            passes = getattr(layer, _COUNTER) - before[_COUNTER]
            moved = _moved(layer, passes)
            shares = _shares(route)
            speed = sum(share * share for share in shares)
            for unit, share in zip(units, shares, strict=True):
                rate = (1 / moved).clamp(max=share / speed)
                for leaf in _MOMENTS:
                    own, mixed = getattr(unit, leaf), before[leaf]
                    # What moved the mixture is `moved * (batch - mixed)`.
                    change = getattr(layer, leaf) - mixed
                    own.add_(rate * (change + moved * (mixed - own)))
                getattr(unit, _COUNTER).add_(passes)

    @torch.no_grad()
    def fill(self, draws: Sequence[Mapping[str, Tensor]]) -> None:
        """Give first values, as `LegoBank.fill` does: a set of values by name or more.

        Args:
            draws: The sets; units take them in turn.
        """
        for layer, units in self._units.items():
            for index, unit in enumerate(units):
                for leaf in STATISTICS:
                    value = draws[index % len(draws)][f"{layer}.{leaf}"]
                    getattr(unit, leaf).copy_(value)

    def _route(self, layer: str, plan: RoutingPlan) -> Route:
        group = self._groups.get(layer)
        return _ONLY if group is None else plan.routes[group]

    def _active(self, layer: str, route: Route) -> list[nn.Module]:
        return [self._units[layer][unit] for unit in route.units]

    def _mix(self, layer: str, route: Route) -> dict[str, Tensor]:
        units = self._active(layer, route)
        if len(units) == 1:
            return dict(units[0].named_buffers())
        shares = _shares(route)
        mixed = {}
        for leaf in STATISTICS:
            value = sum(
                getattr(unit, leaf) * share
                for unit, share in zip(units, shares, strict=True)
            )
            mixed[leaf] = value.round().long() if leaf == _COUNTER else value
        return mixed


def find_statistics(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that keep running statistics, with their names.

    Those alone that count their batches and have a weight by which they are placed;
    instance norms do not count. What is left out stays private to each task.
    """
    for name, layer in network.named_modules():
        if (
            is_norm(layer)
            and not isinstance(layer, _InstanceNorm)
            and layer._parameters.get("weight") is not None
            and all(layer._buffers.get(leaf) is not None for leaf in STATISTICS)
        ):
            yield name, layer


def _shares(route: Route) -> list[float]:
    values = route.values or (1.0,)
    return [value / sum(values) for value in values]


def _moved(layer: nn.Module, passes: Tensor) -> Tensor:
    """Return how far forward passes have moved statistics towards their batches'."""
    if layer.momentum is None:
        # A plain average over all batches.
        return passes / getattr(layer, _COUNTER).clamp(min=1)
    return 1 - (1 - layer.momentum) ** passes.float()
