"""Hooks."""

from .task_hook import TaskHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = ["MultiTaskVisualizationHook", "TaskHook"]
