"""A task's weights as a stock state dict."""

from collections import OrderedDict
from copy import deepcopy

import torch
from torch import Tensor

from gppf_mm.models import GPPF, LegoNetwork
from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_names


@torch.no_grad()
def export_state_dict(model: GPPF, task: str) -> "OrderedDict[str, Tensor]":
    """Assemble one task's weights under its evaluation plan.

    Args:
        model: The multi-task model. It is left as it is, whatever its mode.
        task: The task.

    Returns:
        The state dict of the task's stock model: its names in its order, on the CPU,
        contiguous, and sharing no memory with the bank.

    Raises:
        ValueError: If there is no such task.
    """
    check_names("task", [task], model.task_names)
    # Only the stock model itself knows its order, and the versions of its modules.
    with torch.random.fork_rng(devices=[]):
        stock = MODELS.build(deepcopy(model._task_cfgs[task])).state_dict()
    # Not its values, whose memory the task's own can have.
    names, metadata = tuple(stock), stock._metadata
    del stock
    to_stock = model.paths[task].to_stock
    assembled = {
        to_stock(name): v for name, v in plan_weights(model.network, task).items()
    }
    values = {**model.tasks[task].state_dict(), **assembled}
    state: OrderedDict[str, Tensor] = OrderedDict(
        (name, own(values[name])) for name in names
    )
    state._metadata = metadata  # type: ignore[attr-defined]
    return state


def plan_weights(network: LegoNetwork, task: str) -> dict[str, Tensor]:
    """Assemble a task's weights under its evaluation plan; leave the mode as it is."""
    training = network.training
    network.eval()
    try:
        return network.weights(task, network.draw(task))
    finally:
        network.train(training)


def own(value: Tensor) -> Tensor:
    """Return a copy on the CPU, contiguous, in memory of its own."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
