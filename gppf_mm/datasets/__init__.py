"""Data: stock loaders of several tasks as one."""

from .annotation_store import AnnotationStore
from .multitask_loader import MultiTaskDataLoader
from .schedules import TaskSchedule, build_schedule
from .simt_loader import SIMTDataLoader, set_sizes
from .steps import Step
from .stream import TaskStream

__all__ = [
    "AnnotationStore",
    "MultiTaskDataLoader",
    "SIMTDataLoader",
    "Step",
    "TaskSchedule",
    "TaskStream",
    "build_schedule",
    "set_sizes",
]
