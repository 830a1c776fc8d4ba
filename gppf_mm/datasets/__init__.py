"""Data: stock loaders of several tasks as one."""

from .multitask_loader import MultiTaskDataLoader
from .simt_loader import SIMTDataLoader, Step
from .stream import TaskStream

__all__ = ["MultiTaskDataLoader", "SIMTDataLoader", "Step", "TaskStream"]
