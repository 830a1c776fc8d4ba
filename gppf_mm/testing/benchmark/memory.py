"""Peak memory of tensors during a call."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .options import Options

MIB = 2**20


def peak_bytes(
    call: Callable[[], object], held: Iterable[Tensor], options: Options
) -> int:
    """Measure the largest sum of bytes that tensors take during a call.

    On CUDA it is what the allocator counts. On the CPU it is counted from the storages
    of all tensors that operators return, forward and backward, until each is freed;
    what a kernel allocates and frees inside of itself is not seen. The resident memory
    of the process is no alternative: it depends on what the C library keeps.

    Args:
        call: What is to be measured; it should have run before.
        held: Tensors that exist before and count too: weights, buffers, the optimizer's
            state.
        options: Gives the device.

    Returns:
        The peak, in bytes.
    """
    if options.device == "cuda":
        options.wait()
        torch.cuda.reset_peak_memory_stats()
        call()
        options.wait()
        return torch.cuda.max_memory_allocated()
    with LiveBytes(held) as counter:
        call()
    return counter.peak


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of living storages, and the largest count so far.

    Attributes:
        live: Bytes that live now.
        peak: The most there were.

    Args:
        held: Tensors that exist already.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()
        for tensor in held:
            self._add(tensor)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count what it returns."""
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return found

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self._seen:
            return
        size = storage.nbytes()
        self._seen.add(id(storage))
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, id(storage), size)

    def _drop(self, identity: int, size: int) -> None:
        self._seen.discard(identity)
        self.live -= size
