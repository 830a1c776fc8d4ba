"""The regularizers' part of an optimizer step."""

from collections.abc import Iterable, Mapping

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..network import LegoNetwork
from ..routers import LearnedRouter
from .base import RoutingRegularizer


def regularize(
    regularizers: Iterable[RoutingRegularizer],
    network: LegoNetwork,
    optim_wrapper: OptimWrapper,
) -> dict[str, Tensor]:
    """Add the regularizers' gradients to the logits, right before an optimizer step.

    What has a gradient by then is what the step trains: a task without a batch, one
    whose loss was not finite and frozen routes have none, and get none here. Such a
    task counts in the probabilities as it stands. Being the last before the optimizer
    step, these gradients are added once however many iterations it accumulates, are no
    task's to weigh or clip, and need not be sent: the ranks' logits are equal.

    Args:
        regularizers: The regularizers.
        network: What the tasks share, whose router's logits have their gradients.
        optim_wrapper: The wrapper whose step is next; it scales losses under AMP.

    Returns:
        Values to log: means over the routing groups in which there is a choice.
    """
    regularizers, router = list(regularizers), network.router
    if not regularizers or not isinstance(router, LearnedRouter):
        return {}
    trained = {t for t in router.tasks if router.logits[t].grad is not None}
    # Copies, for who waits for a gradient of the logits counts the tasks' passes alone.
    copies = {
        task: router.logits[task].detach().requires_grad_(task in trained)
        for task in router.tasks
    }
    choices = _choices(network, copies)
    if not trained or not choices:
        return {}
    groups = sum(item.shape[1] for item in choices)
    values = {
        item.name: torch.stack([item(p) * p.shape[1] for p in choices]).sum() / groups
        for item in regularizers
    }
    weighted = [
        item.weight(network.iteration) * values[item.name] for item in regularizers
    ]
    total = torch.stack(weighted).sum()
    if total.requires_grad:
        optim_wrapper.backward(total)
        # The wrapper counts backward passes as steps.
        optim_wrapper._inner_count -= 1
    for task in trained:
        if (gradient := copies[task].grad) is not None:
            router.logits[task].grad = router.logits[task].grad + gradient
    return {f"router/{name}": value.detach() for name, value in values.items()}


def _choices(network: LegoNetwork, logits: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the tasks' softmax over the units that are a choice: all but shared ones.

    Each at the temperature of its own place in the schedule.

    Args:
        network: What the tasks share.
        logits: The logits by task, each of shape ``(groups, K)``.

    Returns:
        Probabilities of shape ``(tasks, groups, units)``, together for groups of as
        many units that the same tasks have; without those that leave no choice.
    """
    router = network.router
    first, temperature = router.shared_units, router.schedules["temperature"]
    own = {task: network.groups_of(task) for task in router.tasks}
    alike: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for row, (group, units) in enumerate(
        zip(router.groups, router.group_units, strict=True)
    ):
        tasks = tuple(task for task in router.tasks if group in own[task])
        if tasks and units > first + 1:
            alike.setdefault((tasks, units), []).append(row)
    return [
        torch.stack([logits[t][rows] / temperature(network.step_of(t)) for t in tasks])[
            ..., first:units
        ].softmax(dim=-1)
        for (tasks, units), rows in alike.items()
    ]
