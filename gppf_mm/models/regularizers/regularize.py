"""The regularizers' part of an optimizer step."""

from collections.abc import Iterable

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..routers import BaseRouter, LearnedRouter
from .base import RoutingRegularizer


def regularize(
    regularizers: Iterable[RoutingRegularizer],
    router: BaseRouter,
    step: int,
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
        router: The router whose logits have their gradients.
        step: The training iteration.
        optim_wrapper: The wrapper whose step is next; it scales losses under AMP.

    Returns:
        Values to log.
    """
    regularizers = list(regularizers)
    if not regularizers or not isinstance(router, LearnedRouter):
        return {}
    trained = {t for t in router.tasks if router.logits[t].grad is not None}
    if not trained:
        return {}
    # Copies, for who waits for a gradient of the logits counts the tasks' passes alone.
    copies = {
        task: router.logits[task].detach().requires_grad_(task in trained)
        for task in router.tasks
    }
    logits = torch.stack([copies[task] for task in router.tasks])
    probabilities = router.choices(logits, step)
    values = {item.name: item(probabilities) for item in regularizers}
    weighted = [item.weight(step) * values[item.name] for item in regularizers]
    optim_wrapper.backward(torch.stack(weighted).sum())
    # The wrapper counts backward passes as steps.
    optim_wrapper._inner_count -= 1
    for task in trained:
        parameter = router.logits[task]
        parameter.grad = parameter.grad + copies[task].grad
    return {f"router/{name}": value.detach() for name, value in values.items()}
