"""Distributed training."""

from .simt_data_parallel import SIMTDataParallel
from .simt_fully_sharded import SIMTFullyShardedDataParallel

__all__ = ["SIMTDataParallel", "SIMTFullyShardedDataParallel"]
