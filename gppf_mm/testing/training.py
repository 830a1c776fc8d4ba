"""One training step of one task, and what it must leave behind."""

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from gppf_mm.models import GPPF


def learn(model: GPPF, task: str, batch: dict) -> None:
    """Compute a task's losses and gradients and check them.

    Args:
        model: A multi-task model.
        task: The task.
        batch: A labelled batch of it.

    Raises:
        ValueError: If the loss is not finite, no active unit has a gradient though the
            recipe trains the shared part, or an inactive unit has one.
    """
    model.train()
    _begin_training()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    logged = model.backward({task: batch}, wrapper)
    for name, value in logged.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"the loss {name!r} is not finite")
    check_gradients(model, task)
    model.zero_grad(set_to_none=True)


def learn_stock(stock: BaseModel, batch: dict) -> None:
    """Compute a stock model's losses and gradients, without checks.

    Args:
        stock: The stock model.
        batch: A labelled batch.
    """
    stock.train()
    _begin_training()
    data = stock.data_preprocessor(batch, True)
    stock.parse_losses(stock(**data, mode="loss"))[0].backward()


def _begin_training() -> None:
    """Say what a runner says at its start, where some losses look it up (TOOD's)."""
    hub = MessageHub.get_current_instance()
    hub.update_info_dict(dict(epoch=0, iter=0, max_epochs=1, max_iters=1))


def check_gradients(model: GPPF, task: str) -> None:
    """Check after a backward pass which units have gradients.

    Layers that a recipe freezes, or does not use, have none: not every active unit
    must have one, but some must unless all are frozen.

    Args:
        model: A multi-task model, after a backward pass of one task.
        task: The task.

    Raises:
        ValueError: If the gradients are not where they should be.
    """
    network = model.network
    frozen = network.frozen_names(task)
    plan = network.draw(task).units()
    trained = trainable = 0
    for name in network.bank.lego_names:
        active = plan[network.groups[name]]
        for index, unit in enumerate(network.bank.units(name)):
            if index not in active and unit.grad is not None:
                raise ValueError(f"unit {index} of {name!r} is inactive, yet trained")
            trainable += index in active and name not in frozen
            trained += index in active and unit.grad is not None
    if trainable and not trained:
        raise ValueError("no active unit has a gradient")
