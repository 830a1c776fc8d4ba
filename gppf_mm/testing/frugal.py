"""Savings of time, where a check would do work for nothing."""

import ctypes
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLS = ("uniform_", "normal_")


class no_random_fill(TorchFunctionMode):  # noqa: N801
    """Builds models without drawing first values, for those that get others anyway.

    Args:
        larger_than: Tensors of fewer values are drawn. Defaults to 0.
    """

    def __init__(self, larger_than: int = 0) -> None:
        super().__init__()
        self.larger_than = larger_than

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return the tensor as it is in place of a random fill."""
        name = getattr(func, "__name__", "")
        filled = args[0] if name in _FILLS and args else None
        if isinstance(filled, Tensor) and filled.numel() > self.larger_than:
            return filled.zero_()
        return func(*args, **(kwargs or {}))


def keep_memory() -> None:
    """Keep freed memory in this process, where the C library is glibc.

    A check builds a model four times. Returning its memory each time costs as much as
    a third of the computing, in page faults.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**27)
