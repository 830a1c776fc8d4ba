"""Savings of time, where a check would do work for nothing."""

import ctypes
import gc
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
    _tell_malloc({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**27})


def return_memory() -> None:
    """Return freed memory at once again, so that no gaps count against a limit."""
    gc.collect()
    options = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 2**20, _TRIM_THRESHOLD: 2**20}
    _tell_malloc(options | {_TOP_PAD: 2**17})
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


# Numbers of the options in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4


def _tell_malloc(options: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)
