"""Optimizers for several tasks: each recipe's own rules over one optimizer."""

from .constructor import MultiTaskOptimWrapperConstructor
from .multipliers import Multipliers, read_multipliers

__all__ = ["MultiTaskOptimWrapperConstructor", "Multipliers", "read_multipliers"]
