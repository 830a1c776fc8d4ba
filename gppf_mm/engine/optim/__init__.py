"""Optimizers for several tasks: each recipe's own rules over one optimizer."""

from .constructor import RULE_KEYS, MultiTaskOptimWrapperConstructor
from .multipliers import Multipliers, read_multipliers

__all__ = [
    "RULE_KEYS",
    "MultiTaskOptimWrapperConstructor",
    "Multipliers",
    "read_multipliers",
]
