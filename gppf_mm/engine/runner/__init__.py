"""Runner and loops."""

from .multitask_eval_loops import MultiTaskEvalLoop, MultiTaskTestLoop, MultiTaskValLoop
from .simt_runner import SIMTRunner
from .simt_train_loop import SIMTTrainLoop

__all__ = [
    "MultiTaskEvalLoop",
    "MultiTaskTestLoop",
    "MultiTaskValLoop",
    "SIMTRunner",
    "SIMTTrainLoop",
]
