"""Distributed training."""

from .simt_data_parallel import SIMTDataParallel

__all__ = ["SIMTDataParallel"]
