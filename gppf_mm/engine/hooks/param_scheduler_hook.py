"""MMEngine's parameter scheduler hook, for tasks that may report nothing."""

from typing import Any

from mmengine.hooks import ParamSchedulerHook as StockParamSchedulerHook
from mmengine.runner import Runner

from gppf_mm.registry import HOOKS

from .scores import silent_scores, warn_of_silence

_KEY = "param_scheduler.monitor"


@HOOKS.register_module()
class ParamSchedulerHook(StockParamSchedulerHook):
    """Bears a validation at which a task reports nothing.

    Under the default scope ``gppf_mm`` it is what ``type='ParamSchedulerHook'`` names.
    A ``ReduceOnPlateauLR`` whose metric is not there takes no step, where the stock
    hook ends the run: mmdet's ``CocoMetric`` reports nothing when nothing was detected,
    as may be early in a training.
    """

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, Any] | None = None
    ) -> None:
        """Step the schedulers that follow a metric.

        Args:
            runner: The run.
            metrics: The metrics of the validation, by name with the task as prefix.
                Defaults to None, no step.

        Raises:
            ValueError: If a scheduler follows a metric that no task reports.
        """
        schedulers = runner.param_schedulers
        if metrics is None or not isinstance(schedulers, list):
            return
        tasks = list(getattr(runner.val_loop.evaluator, "evaluators", ()))
        for scheduler in schedulers:
            if not (scheduler.by_epoch and getattr(scheduler, "need_val_args", False)):
                continue
            silent = silent_scores(_KEY, [scheduler.monitor], metrics, tasks)
            for name in silent:
                note = f"{name!r} changes no learning rate this time"
                warn_of_silence(name.partition("/")[0], _KEY, note)
            if not silent:
                scheduler.step(metrics)
