"""How a benchmark is run."""

from dataclasses import dataclass
from typing import TypeVar

import torch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Options:
    """Settings of all measurements.

    Attributes:
        device: ``'cpu'`` or ``'cuda'``. What needs two processes runs on the CPU.
        seconds: Time to spend on one comparison, once both sides are warm.
        quick: Whether to use tiny sizes and two rounds, to see that all works; the
            figures mean nothing.
        seed: Seed of weights, images and labels.
    """

    device: str = "cpu"
    seconds: float = 45.0
    quick: bool = False
    seed: int = 0

    def pick(self, full: Value, quick: Value) -> Value:
        """Return one of two settings."""
        return quick if self.quick else full

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()
