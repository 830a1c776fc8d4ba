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
        num_units: Units per layer, K.
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
        self.seed = seed

    @abstractmethod
    def route(self, task: str, step: int) -> tuple[Tensor, Tensor | None]:
        """Choose units.

        Args:
            task: The task.
            step: The training iteration; a schedule and the noise depend on it.

        Returns:
            Unit indices (int64) and mixing weights, both of shape ``(groups, k)``. The
            weights are None where k is 1 and the unit is to be taken as it is. In
            evaluation mode there is no noise.
        """

    def parameters_of(self, task: str) -> list[nn.Parameter]:
        """Return the parameters on which a task's plans depend, by default all."""
        return list(self.parameters())

    def trained_parameters(self, task: str, step: int) -> list[nn.Parameter]:
        """Return those of them that a task trains at an iteration, by default all."""
        return self.parameters_of(task)

    def draw(self, task: str, step: int = 0) -> RoutingPlan:
        """Draw a task's plan, once per task and step.

        Args:
            task: The task.
            step: The training iteration. Defaults to 0.

        Returns:
            The plan. Backward passes through its weights reach the router's parameters
            any number of times, as activation checkpointing needs.
        """
        units, weights = self.route(task, step)
        indices = map(tuple, units.tolist())
        if weights is None:
            routes = map(Route, indices)
        else:
            rows = (row.unbind() for row in _replayable(weights).unbind())
            routes = map(Route, indices, rows, map(tuple, weights.tolist()))
        return RoutingPlan(task, dict(zip(self.groups, routes, strict=True)))

    def generator(self, task: str, step: int) -> torch.Generator:
        """Return the generator of a task's noise at a step: the same on all ranks."""
        seed = derive_seed(self.seed, "router", task, step)
        return torch.Generator().manual_seed(seed)


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
