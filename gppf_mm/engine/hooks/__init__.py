"""Hooks."""

from .checkpoint_hook import CheckpointHook
from .interrupt_hook import Interrupted, InterruptHook
from .param_scheduler_hook import ParamSchedulerHook
from .routing_hook import RoutingHook
from .task_hook import TaskHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = [
    "CheckpointHook",
    "InterruptHook",
    "Interrupted",
    "MultiTaskVisualizationHook",
    "ParamSchedulerHook",
    "RoutingHook",
    "TaskHook",
]
