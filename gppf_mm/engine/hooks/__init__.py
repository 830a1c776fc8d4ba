"""Hooks."""

from .interrupt_hook import Interrupted, InterruptHook
from .task_hook import TaskHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = [
    "InterruptHook",
    "Interrupted",
    "MultiTaskVisualizationHook",
    "TaskHook",
]
