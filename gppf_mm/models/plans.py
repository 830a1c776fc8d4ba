"""The plans of the present step, each of which is drawn once."""

from typing import NamedTuple

import torch
from torch import Tensor

from .lego import RoutingPlan
from .routers import BaseRouter


class _Drawn(NamedTuple):
    """A plan and what it was drawn from.

    Attributes:
        plan: The plan.
        state: Step, mode, and the version of each tensor.
        sources: The tensors, kept so that no other takes one's id.
        graph: Whether gradients reach the router through the plan.
    """

    plan: RoutingPlan
    state: tuple
    sources: list[Tensor]
    graph: bool


class PlanCache:
    """Draws a task's plan and gives it again while nothing has changed.

    Drawing waits for the device that holds the logits, and a step asks for each plan
    several times: for every batch, for the ranks' agreement, for the parameters that
    are trained. A plan may serve any number of backward passes; see `BaseRouter.draw`.
    Step, mode, an update of the router's parameters, and freezing one, make a new plan.

    A copy, or what is pickled, is empty: a plan belongs to the graph of its router.
    """

    def __init__(self) -> None:
        self._drawn: dict[str, _Drawn] = {}

    def draw(self, router: BaseRouter, task: str, step: int) -> RoutingPlan:
        """Return a task's plan at a step.

        Args:
            router: The router, the same at every call.
            task: The task.
            step: The training iteration.
        """
        sources: list[Tensor] = [*router.parameters_of(task), *router.buffers()]
        versions = [(id(i), i._version, i.requires_grad) for i in sources]
        state = (step, router.training, versions)
        graph = torch.is_grad_enabled()
        found = self._drawn.get(task)
        if found is None or found.state != state or graph > found.graph:
            plan = router.draw(task, step)
            found = self._drawn[task] = _Drawn(plan, state, sources, graph)
        return found.plan

    def clear(self) -> None:
        """Forget all plans."""
        self._drawn.clear()

    def __deepcopy__(self, memo: dict) -> "PlanCache":
        return PlanCache()

    def __reduce__(self) -> tuple:
        return PlanCache, ()
