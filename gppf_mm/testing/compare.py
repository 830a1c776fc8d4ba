"""Whether two models say the same."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


def tensors_of(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every number in what a model returns, as tensors by name.

    Args:
        value: Tensors, arrays, numbers, data samples, boxes and masks of the
            libraries, and mappings and sequences of them. Anything else is passed over.
        name: Where the value stands. Defaults to ``''``, the root.

    Yields:
        A name and a tensor on the CPU.
    """
    if isinstance(value, Tensor):
        yield name, value.detach().cpu()
    elif isinstance(value, (np.ndarray, np.number, bool, int, float)):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            yield name, torch.as_tensor(array)
    elif isinstance(value, BaseDataElement):
        for key in sorted(value.keys()):
            yield from tensors_of(value.get(key), f"{name}.{key}")
    elif isinstance(value, Mapping):
        for key in value:
            yield from tensors_of(value[key], f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from tensors_of(item, f"{name}.{index}")
    elif hasattr(value, "tensor"):  # mmdet's boxes
        yield from tensors_of(value.tensor, name)
    elif hasattr(value, "masks"):  # mmdet's masks
        yield from tensors_of(value.masks, name)


def largest_difference(found: Any, expected: Any) -> tuple[float, int]:
    """Compare what two models return.

    Args:
        found: What the one returns.
        expected: What the other returns.

    Returns:
        The largest difference of any two numbers, relative to the largest magnitude in
        their tensor, and how many finite non-zero numbers were compared, so that a
        comparison of nothing can be told.

    Raises:
        ValueError: If they differ in structure, shape, or where numbers are finite.
    """
    ours, theirs = dict(tensors_of(found)), dict(tensors_of(expected))
    if ours.keys() != theirs.keys():
        name = sorted(ours.keys() ^ theirs.keys())[0]
        raise ValueError(f"{name!r} is predicted by one of the two models alone")
    worst, compared = 0.0, 0
    for name, other in theirs.items():
        one = ours[name]
        if one.shape != other.shape:
            raise ValueError(
                f"{name!r} has the shapes {tuple(one.shape)} and {tuple(other.shape)}"
            )
        one, other = one.double(), other.double()
        finite = other.isfinite()
        same = one[~finite].nan_to_num(0.5), other[~finite].nan_to_num(0.5)
        if not torch.equal(one.isfinite(), finite) or not torch.equal(*same):
            raise ValueError(f"{name!r} is finite in one of the two models alone")
        one, other = one[finite], other[finite]
        if other.numel():
            scale = max(other.abs().max().item(), 1e-12)
            worst = max(worst, (one - other).abs().max().item() / scale)
        compared += int(other.count_nonzero())
    return worst, compared
