"""What every router has in common."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gppf_mm.utils.seeding import derive_seed

from ..lego import Route, RoutingPlan


class BaseRouter(nn.Module):
    """Picks, for each task and routing group, k of K units and their mixing weights.

    The choice depends on the task, never on the image. A subclass implements `route`.

    Args:
        tasks: Names of the tasks.
        groups: Names of the routing groups.
        num_units: Units per layer, K; where groups differ, that of the largest, see
            `limit_units`.
        seed: Seed of the router's noise. It does not depend on the process, so that all
            ranks draw the same plan. Defaults to 0.
    """

    def __init__(
        self, tasks: Sequence[str], groups: Sequence[str], num_units: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.groups = tuple(groups)
        self.num_units = num_units
        self.group_units = (num_units,) * len(self.groups)
        self.seed = seed
        self.register_buffer("_missing", None, persistent=False)

    def limit_units(self, group_units: Sequence[int]) -> None:
        """Say that groups have different numbers of units, up to ``num_units``.

        What is learned keeps its shape; the units that a group lacks never win, and the
        plan leaves them out.

        Args:
            group_units: K of each group.
        """
        self.group_units = tuple(group_units)
        counts = torch.tensor(self.group_units)[:, None]
        self._missing = torch.arange(self.num_units) >= counts

    def present(self, scores: Tensor) -> Tensor:
        """Return scores, of shape ``(groups, K)``, with -inf for missing units."""
        if self._missing is None:
            return scores
        return scores.masked_fill(self._missing, -torch.inf)

    @abstractmethod
    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """Choose units.

        Args:
            task: The task.
            step: The training iteration; a schedule and the noise depend on it.

        Returns:
            Unit indices (int64) and mixing weights, both of shape ``(groups, k)``. The
            weights are None where k is 1 and the unit is to be taken as it is. In
            evaluation mode there is no noise. Units that a group lacks may be among
            the k, with the weight 0; the plan leaves them out.
        """

    def parameters_of(self, task: str) -> list[nn.Parameter]:
        """Return the parameters on which a task's plans depend, by default all."""
        return list(self.parameters())

    def trained_parameters(self, task: str, step: int) -> list[nn.Parameter]:
        """Return those of them that a task trains at an iteration, by default all."""
        return self.parameters_of(task)

    def draw(self, task: str, step: int = 0, replayable: bool = True) -> RoutingPlan:
        """Draw a task's plan, once per task and step.

        Args:
            task: The task.
            step: The training iteration. Defaults to 0.
            replayable: Whether backward passes through the plan's weights may reach the
                router's parameters any number of times, as activation checkpointing
                needs. The graph is cut for it, so that a search for unused parameters,
                as stock data parallel makes, does not find the router's. Defaults to
                True.

        Returns:
            The plan.
        """
        units, weights = self.route(task, step)
        indices = map(tuple, units.tolist())
        if weights is None:
            routes = map(Route, indices)
        else:
            if replayable:
                weights = _replayable(weights)
            rows = (row.unbind() for row in weights.unbind())
            routes = map(_existing, self.group_units, indices, rows, weights.tolist())
        return RoutingPlan(task, dict(zip(self.groups, routes, strict=True)))

    def generator(self, task: str, step: int) -> torch.Generator:
        """Return the generator of a task's noise at a step: the same on all ranks."""
        seed = derive_seed(self.seed, "router", task, step)
        return torch.Generator().manual_seed(seed)


def _existing(
    count: int,
    units: tuple[int, ...],
    weights: tuple[Tensor, ...],
    values: Sequence[float],
) -> Route:
    """Make the route of a group that has so many units."""
    if max(units) < count:
        return Route(units, weights, tuple(values))
    there = [index for index, unit in enumerate(units) if unit < count]
    return Route(
        tuple(units[index] for index in there),
        tuple(weights[index] for index in there),
        tuple(values[index] for index in there),
    )


def _replayable(weights: Tensor) -> Tensor:
    """Cut the graph at a leaf that hands each gradient it gets on at once.

    Re-entrant activation checkpointing runs one backward pass per checkpointed block.
    All of them meet in the mixing weights, whose graph an ordinary backward pass frees.
    """
    if not weights.requires_grad:
        return weights
    leaf = weights.detach().requires_grad_()

    def hand_on(leaf: Tensor) -> None:
        gradient, leaf.grad = leaf.grad, None
        torch.autograd.backward(weights, gradient, retain_graph=True)

    leaf.register_post_accumulate_grad_hook(hand_on)
    return leaf
