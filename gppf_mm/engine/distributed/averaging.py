"""Collectives in the forms that are used here."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from .shard import is_sharded


def average(
    tensors: Sequence[Tensor], group: distributed.ProcessGroup | None = None
) -> tuple[list[Tensor], distributed.Work]:
    """Begin to average tensors over the ranks.

    Args:
        tensors: At least one, all on one device; they are left as they are.
        group: A process group of all ranks. Defaults to None, the default one.

    Returns:
        The averages, of the same shapes, which are there when the work is done.
    """
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    flat.div_(distributed.get_world_size())
    work = distributed.all_reduce(flat, group=group, async_op=True)
    parts = flat.split([tensor.numel() for tensor in tensors])
    pairs = zip(parts, tensors, strict=True)
    return [part.view_as(tensor) for part, tensor in pairs], work


def gather_ranks(tensor: Tensor) -> Tensor:
    """Stack a tensor of all ranks: ``(...)`` to ``(ranks, ...)``."""
    ranks = distributed.get_world_size()
    pieces = tensor.new_empty(ranks * tensor.numel())
    distributed.all_gather_into_tensor(pieces, tensor.reshape(-1))
    return pieces.view(ranks, *tensor.shape)


def broadcast_state(module: nn.Module) -> None:
    """Give all ranks the parameters and buffers of rank 0.

    Args:
        module: The module. Shards stay as they are, and so does what is no tensor:
            extra state, which is empty before training.
    """
    for value in module.state_dict(keep_vars=True).values():
        if isinstance(value, Tensor) and not is_sharded(value):
            distributed.broadcast(value.detach(), src=0)
