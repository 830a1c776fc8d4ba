"""Shared networks in ``torch.channels_last``.

Inside a shared part, images and the weights of convolutions are in that memory format.
Heads get contiguous features, as in their own library: some of them, and MMCV's
operators, count on it.

The parameters stay contiguous, and so do gradients, optimizer states and checkpoints:
FSDP takes no others, and PyTorch's fused optimizers step wrongly, without a word, where
parameter, gradient and state differ in format. What it costs is one copy of a task's
weights a step (our choice).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# PyTorch's own and MMCV's that only pad. Not the ones that do arithmetic on their
# weights, whose code may need them contiguous.
_CONVOLUTIONS = ("Conv2d", "Conv2dAdaptivePadding", "ConvTranspose2d")


def take_channels_last(parts: Mapping[str, nn.Module]) -> frozenset[str]:
    """Let a task's shared parts run in the format.

    Args:
        parts: The stock networks, by the part's name.

    Returns:
        The names of the weights that are to be laid in the format.
    """
    for part in parts.values():
        part.register_forward_pre_hook(_convert_inputs, with_kwargs=True)
        part.register_forward_hook(_revert_outputs)
        for layer in part.modules():
            if _is_mmcv_operator(layer):
                layer.register_forward_pre_hook(_revert_inputs)
            elif isinstance(layer, nn.GroupNorm):
                layer.register_forward_pre_hook(_spare_group_norm)
    return frozenset(
        name
        for name, layer in _layers(nn.ModuleDict(parts))
        if type(layer).__name__ in _CONVOLUTIONS
    )


def to_channels_last(
    weights: Mapping[str, Tensor], names: Iterable[str]
) -> dict[str, Tensor]:
    """Return weights of which some are in the format.

    Args:
        weights: Weights by name.
        names: The names of those to convert, if they are there.
    """
    converted = {
        name: _convert(weights[name], torch.channels_last)
        for name in names
        if name in weights
    }
    return {**weights, **converted}


def _layers(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield layers with the name of their weight, but none of MMCV's operators."""
    yield f"{path}weight", module
    for name, child in module.named_children():
        if not _is_mmcv_operator(child):
            yield from _layers(child, f"{path}{name}.")


def _is_mmcv_operator(module: nn.Module) -> bool:
    # Deformable convolution refuses the format, or computes wrong gradients in it.
    return type(module).__module__.startswith("mmcv.ops")


def _convert_inputs(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return _convert((args, kwargs), torch.channels_last)


def _revert_inputs(module: nn.Module, args: tuple) -> tuple:
    return _convert(args, torch.contiguous_format)


def _revert_outputs(module: nn.Module, args: tuple, outputs: Any) -> Any:
    return _convert(outputs, torch.contiguous_format)


def _spare_group_norm(module: nn.Module, args: tuple) -> tuple:
    # On a CPU the backward pass of PyTorch 2.11 ends the process where the input, of
    # this format, needs no gradient: behind a frozen stem.
    needs_none = not any(item.requires_grad for item in args)
    if needs_none and torch.is_grad_enabled() and args[0].device.type == "cpu":
        return _convert(args, torch.contiguous_format)
    return args


def _convert(value: Any, memory_format: torch.memory_format) -> Any:
    """Convert images, feature maps or a weight, also those in a tuple, list or dict."""
    if isinstance(value, Tensor):
        return (
            value.contiguous(memory_format=memory_format) if value.dim() == 4 else value
        )
    if type(value) in (tuple, list):
        return type(value)(_convert(item, memory_format) for item in value)
    if type(value) is dict:
        return {name: _convert(item, memory_format) for name, item in value.items()}
    return value
