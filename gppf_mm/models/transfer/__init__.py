"""Transfer: new tasks over a bank that is trained already.

A new task starts in one of three ways, all our choice: it copies the route of a task of
the trained run; it learns a route over frozen units; or it learns both.
"""

from .editing import add_task, remove_tasks, task_names
from .extracting import extract_tasks, insert_tasks
from .freezing import freeze, keep_statistics
from .settings import NewTask, Transfer, read_transfer
from .source import TrainedRun
from .taking import take_over, take_tasks

__all__ = [
    "NewTask",
    "TrainedRun",
    "Transfer",
    "add_task",
    "extract_tasks",
    "freeze",
    "insert_tasks",
    "keep_statistics",
    "read_transfer",
    "remove_tasks",
    "take_over",
    "take_tasks",
    "task_names",
]
