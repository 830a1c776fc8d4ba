"""One task's forward and backward pass."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from .labels import name_missing_labels
from .network import LegoNetwork
from .nonfinite import NonFiniteGuard

Batch = Any  # What a stock loader yields: a dict, a tuple or a list.


class TaskStep(BaseModel):
    """The pass of one task of a multi-task model.

    Attributes:
        loss_weights: The weight of each task's loss.
        nonfinite: Finds losses that are not finite.
        network: What the tasks share.
    """

    loss_weights: dict[str, float]
    nonfinite: NonFiniteGuard
    network: LegoNetwork

    def activate(self, task: str) -> AbstractContextManager[nn.Module]:
        """Lend a task's stock model, complete with its weights."""
        raise NotImplementedError

    def _backward_task(
        self, task: str, batches: Sequence[Batch], optim_wrapper: OptimWrapper
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add one task's gradients; return its weighted loss and values to log.

        Both are means over its batches, and detached, so that nothing of the task's
        graph outlives the call.
        """
        losses: list[Tensor] = []
        means: dict[str, Tensor] = {}
        for batch in batches:
            loss, logged = self._backward_batch(
                task, batch, 1 / len(batches), optim_wrapper
            )
            losses.append(loss)
            for name, value in logged.items():
                value = value.detach() / len(batches)
                means[name] = means[name] + value if name in means else value
        return torch.stack(losses).sum(), means

    def _backward_batch(
        self, task: str, batch: Batch, share: float, optim_wrapper: OptimWrapper
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradients of one batch, whose loss counts for a share.

        A loss that is not finite leaves running statistics alone; `skip` drops its
        gradients.

        Raises:
            ValueError: If the model fails because the batch has no labels.
        """
        with self.activate(task) as model:
            buffers = [*model.buffers(), *self.network.laid_statistics(task)]
            before = [buffer.clone() for buffer in buffers]
            with optim_wrapper.optim_context(self), name_missing_labels(task, batch):
                losses = _forward_loss(model, batch)
            loss, logged = model.parse_losses(losses)
            loss = self.loss_weights[task] * share * loss
            is_finite = self.nonfinite.is_finite(task, loss, batch)
            # In any case: the others may wait for this rank in a collective of the
            # backward pass, such as SyncBN's.
            optim_wrapper.backward(optim_wrapper.scale_loss(loss))
            # The wrapper counts backward passes as steps; a SIMT step is one.
            optim_wrapper._inner_count -= 1
            if not is_finite:
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)
        return loss.detach(), logged


def _forward_loss(model: BaseModel, batch: Batch) -> dict[str, Tensor]:
    data = model.data_preprocessor(batch, True)
    if isinstance(data, dict):
        return model(**data, mode="loss")
    return model(*data, mode="loss")
