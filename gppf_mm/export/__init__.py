"""Export: a plain checkpoint and config of a stock library.

The assembled weights of a task's plan are an ordinary state dict, so that what leaves
here runs in the stock library, with its own tools and without this package: one task of
a run of several, or a stock config's run with a lego backbone.
"""

from .backbone import export_backbone
from .config import export_config
from .files import ExportedTask
from .task import export_task
from .weights import export_state_dict

__all__ = [
    "ExportedTask",
    "export_backbone",
    "export_config",
    "export_state_dict",
    "export_task",
]
