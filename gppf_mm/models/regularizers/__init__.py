"""Regularizers of learned routes: what a task's loss does not ask of them.

A task's loss asks for the units that fit the task now. It does not see that a unit
which nobody picks learns nothing, or that two tasks could help each other. A
regularizer is a function of all tasks' probabilities over the units, added once per
optimizer step.

Examples:
    >>> import torch
    >>> from gppf_mm.models.regularizers import BalanceLoss
    >>> apart = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # 2 tasks, 1 group, 2 units
    >>> balance = BalanceLoss(weight=0.01)
    >>> balance(apart).item(), balance(apart[:1]).item()
    (0.0, 1.0)
"""

from .balance import BalanceLoss
from .base import RoutingRegularizer
from .build import build_regularizers
from .entropy import EntropyLoss
from .regularize import regularize
from .sharing import SharingLoss

__all__ = [
    "BalanceLoss",
    "EntropyLoss",
    "RoutingRegularizer",
    "SharingLoss",
    "build_regularizers",
    "regularize",
]
