"""What tools, notebooks and tests call: configs, checkpoints, models."""

from .checkpoint import (
    check_checkpoint,
    init_model,
    read_checkpoint,
    require_checkpoint,
)
from .command_line import DICT_ACTION_HELP, kind_errors, short_path
from .config import load_config, read_config, select_tasks, set_work_dir
from .data import name_missing_data, name_missing_set
from .routing import find_config, find_task_groups, write_routing
from .stages import require_stage
from .testing import draw_predictions, dump_predictions, write_metrics
from .training import enable_amp, enable_auto_scale_lr, enable_resume, resume_hint

__all__ = [
    "DICT_ACTION_HELP",
    "check_checkpoint",
    "draw_predictions",
    "dump_predictions",
    "enable_amp",
    "enable_auto_scale_lr",
    "enable_resume",
    "find_config",
    "find_task_groups",
    "init_model",
    "kind_errors",
    "load_config",
    "name_missing_data",
    "name_missing_set",
    "read_checkpoint",
    "read_config",
    "require_checkpoint",
    "require_stage",
    "resume_hint",
    "select_tasks",
    "set_work_dir",
    "short_path",
    "write_metrics",
    "write_routing",
]
