"""A router's answer for one task at one step."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Route:
    """The units of one routing group and how they are mixed.

    Attributes:
        units: Indices of the k active units.
        weights: k scalar tensors, the units' mixing weights, or None for a single
            unit taken as it is.
        values: The mixing weights as numbers. Defaults to None, they are read from the
            weights, which waits for the device that holds them.
    """

    units: tuple[int, ...]
    weights: tuple[Tensor, ...] | None = None
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.values is None:
            values = tuple(weight.item() for weight in self.weights)
            object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class RoutingPlan:
    """Which units one task activates in every routing group.

    Attributes:
        task: The task.
        routes: The route of each routing group, by the group's name.
    """

    task: str
    routes: Mapping[str, Route]

    def units(self) -> dict[str, tuple[int, ...]]:
        """Return the active units alone, as plain numbers, by group."""
        return {group: route.units for group, route in self.routes.items()}
