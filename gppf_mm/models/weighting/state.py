"""What methods of torchjd remember from step to step, for checkpoints.

Some of it is in no state dict: torchjd keeps it in plain attributes, or in buffers that
appear during training. Hence the names below, which are those of torchjd 0.18.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class _Memory(NamedTuple):
    """What a class remembers.

    Attributes:
        names: The attributes.
        key: Makes the attribute ``_state_key``, by which torchjd sees whether what it
            remembers fits the next matrix. Defaults to None, there is none.
        on_cpu: Whether the attributes are on the CPU, whatever the gradients are on.
    """

    names: tuple[str, ...]
    key: Callable[[nn.Module], Any] | None = None
    on_cpu: bool = False


_MEMORIES = {
    "DWA": _Memory(("_loss_sum", "_n_batches", "_previous_averages")),
    "FAMO": _Memory(("_prev_losses", "_optimizer")),
    "_NashMTLWeighting": _Memory(("step", "prvs_alpha"), on_cpu=True),
    "GradVacWeighting": _Memory(
        ("_phi_t",), lambda item: (len(item._phi_t), item._phi_t.dtype), on_cpu=True
    ),
    "PCDWeighting": _Memory(
        ("_sq_norm_ema", "_n_steps"), lambda item: len(item._sq_norm_ema), on_cpu=True
    ),
    "ExcessMTLWeighting": _Memory(
        ("_weights", "_sq_grad_sum", "_initial_w", "_warmup_w_sum", "_n_steps"),
        lambda item: (
            *item._sq_grad_sum.shape,
            item._sq_grad_sum.dtype,
            item._sq_grad_sum.device,
        ),
    ),
}


def read_state(method: nn.Module) -> dict[str, Any]:
    """Return what a method remembers.

    Args:
        method: A scalarizer or aggregator of torchjd.

    Returns:
        Tensors, numbers and None, in dicts and lists, by attribute. Parameters and
        buffers that the method has from the beginning are not among them.
    """
    for item in method.modules():
        memory = _MEMORIES.get(type(item).__name__)
        if memory is not None:
            return {name: _pack(getattr(item, name)) for name in memory.names}
    return {}


def write_state(method: nn.Module, state: dict[str, Any], device: torch.device) -> None:
    """Let a method remember.

    Args:
        method: A scalarizer or aggregator of torchjd.
        state: What `read_state` returned for one of its class.
        device: The device of the losses or gradients.
    """
    for item in method.modules():
        memory = _MEMORIES.get(type(item).__name__)
        if memory is None or any(name not in state for name in memory.names):
            continue
        place = torch.device("cpu") if memory.on_cpu else device
        for name in memory.names:
            value = _move(state[name], place)
            if name == "_optimizer":
                value = _restore_optimizer(item, value)
            elif name == "prvs_alpha":
                value = value.numpy()
            setattr(item, name, value)
        if memory.key is not None and getattr(item, memory.names[0]) is not None:
            item._state_key = memory.key(item)
        if hasattr(item, "_init_optim_problem"):
            # NashMTL sets its problem up at step 0 alone.
            item._init_optim_problem()


def _restore_optimizer(famo: nn.Module, state: Any) -> torch.optim.Optimizer | None:
    if state is None:
        return None
    optimizer = torch.optim.Adam([famo._w], lr=famo.lr, weight_decay=famo.weight_decay)
    optimizer.load_state_dict(state)
    return optimizer


def _pack(value: Any) -> Any:
    if isinstance(value, torch.optim.Optimizer):
        return value.state_dict()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return value


def _move(value: Any, device: torch.device) -> Any:
    """Return a copy on a device."""
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_move(item, device) for item in value)
    return value
