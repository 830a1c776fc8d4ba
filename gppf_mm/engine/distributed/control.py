"""The ranks' small messages: what they must agree on, and what any of them saw."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b

import torch
from torch import distributed
from torch.distributed.constants import default_pg_nccl_timeout


class ControlGroup:
    """A process group on the CPU for messages of some bytes.

    It leaves the GPU's queue alone: a message over NCCL would wait for all that the
    GPU has been given before, and the host for the message.
    """

    def __init__(self) -> None:
        self._group = distributed.new_group(backend="gloo", timeout=common_timeout())

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Return which flags are set on any rank.

        Args:
            flags: As many on every rank.
        """
        values = torch.tensor(flags, dtype=torch.uint8)
        self._max(values)
        return [bool(value) for value in values.tolist()]

    def agrees(self, text: str) -> bool:
        """Return whether all ranks have the same text; the answer is the same on all.

        Args:
            text: Of any length; its digest of 16 bytes is sent.
        """
        digest = blake2b(text.encode(), digest_size=16).digest()
        # Where own bytes and own complements are the largest of all ranks, they are the
        # largest and the smallest, hence equal everywhere.
        own = torch.tensor([*digest, *(255 - byte for byte in digest)]).byte()
        largest = own.clone()
        self._max(largest)
        return torch.equal(largest, own)

    def largest(self, value: int) -> int:
        """Return the largest of the ranks' numbers."""
        values = torch.tensor([value])
        self._max(values)
        return int(values)

    def _max(self, values: torch.Tensor) -> None:
        if values.numel():
            distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._group)


def common_timeout() -> timedelta | None:
    """Return how long a group shall wait: as long as the default one was told to.

    A new group would have PyTorch's default, whatever ``env_cfg.dist_cfg.timeout`` is.

    Returns:
        None if nobody chose: NCCL's default is shorter than the CPU's.
    """
    group = distributed.group.WORLD
    backend = group._get_backend(group._device_types[0])
    # PyTorch tells it by no public name, and not of every backend.
    found = getattr(getattr(backend, "options", None), "_timeout", None)
    return None if found == default_pg_nccl_timeout else found
