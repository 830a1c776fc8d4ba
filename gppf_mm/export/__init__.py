"""Export: one task as a plain checkpoint and config of its stock library.

The assembled weights of a task's plan are an ordinary state dict, so that what leaves
here runs in the stock library, with its own tools and without this package.
"""

from .config import export_config
from .task import ExportedTask, export_task
from .weights import export_state_dict

__all__ = ["ExportedTask", "export_config", "export_state_dict", "export_task"]
