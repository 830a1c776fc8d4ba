"""A stock hook that acts on one task's model."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from gppf_mm.engine.runner.building import unwrap
from gppf_mm.models import GPPF
from gppf_mm.registry import HOOKS

_POINTS = (
    "before_train",
    "before_train_epoch",
    "before_val",
    "before_test",
    "before_train_iter",
    "after_train_iter",
)


@HOOKS.register_module()
class TaskHook(Hook):
    """Runs a stock hook with one task's stock model as the runner's model.

    The model is whole while the hook runs: the task's weights lie in its backbone, and
    the default scope is that of the hook's config. All else that the hook asks of the
    runner is the run's. Points that get batches or outputs get the task's own, and none
    that a step calls if it did not train the task.
    Before validation and test the weights are those of evaluation, without noise.
    The run is one epoch, so a hook that counts epochs has no meaning here.

    Points of a hook other than those below are not called.

    Args:
        task: The task.
        hook: The stock hook's config, with its ``_scope_``.

    Raises:
        ValueError: If the stock hook acts at none of these points.
    """

    def __init__(self, task: str, hook: Mapping[str, Any]) -> None:
        self.task = task
        self.hook: Hook = HOOKS.build(dict(hook))
        self.scope: str | None = hook.get("_scope_")
        self.priority = self.hook.priority
        self._acts_at = frozenset(self.hook.get_triggered_stages())
        if self._acts_at.isdisjoint(_POINTS):
            raise ValueError(
                f"TaskHook has a {type(self.hook).__name__} for task {task!r}, which "
                "acts at none of the points that one task has in a multi-task run: "
                f"{', '.join(_POINTS)}. Add it to the run's `custom_hooks` instead."
            )

    def _call(self, runner: Runner, point: str, **arguments: Any) -> None:
        model = self._model(runner)
        if point not in self._acts_at:
            return  # No weights are assembled for nothing, twice an iteration.
        # What the stock hook builds, such as a loader, is looked up in its library.
        scope = DefaultScope.overwrite_default_scope(self.scope)
        with scope, model.activate(self.task) as stock:
            getattr(self.hook, point)(_TaskRunner(runner, stock), **arguments)

    def _call_evaluating(self, runner: Runner, point: str) -> None:
        """Call the stock hook on the weights that the evaluation after it has."""
        network = self._model(runner).network
        training = network.training
        network.eval()
        try:
            self._call(runner, point)
        finally:
            network.train(training)

    def _model(self, runner: Runner) -> GPPF:
        """Return the multi-task model.

        Raises:
            TypeError: If the model is of a single task.
        """
        model = unwrap(runner.model)
        if not isinstance(model, GPPF):
            raise TypeError(
                f"The hooks have a TaskHook for task {self.task!r}, and `model` is a "
                f"{type(model).__name__}, which has no tasks; expected a SIMT run, "
                "runner_type='gppf_mm.SIMTRunner' with model=dict(type='gppf_mm.GPPF', "
                f"tasks=...). Put the {type(self.hook).__name__} itself into "
                "`custom_hooks`."
            )
        return model

    def _rests(self, data_batch: Any) -> bool:
        """Return whether the schedule leaves the task out of the step."""
        return data_batch is not None and self.task not in data_batch

    def before_train(self, runner: Runner) -> None:
        """Call the stock hook.

        Raises:
            TypeError: If the model is of a single task.
        """
        self._call(runner, "before_train")

    def before_train_epoch(self, runner: Runner) -> None:
        """Call the stock hook."""
        self._call(runner, "before_train_epoch")

    def before_val(self, runner: Runner) -> None:
        """Call the stock hook."""
        self._call_evaluating(runner, "before_val")

    def before_test(self, runner: Runner) -> None:
        """Call the stock hook."""
        self._call_evaluating(runner, "before_test")

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Call the stock hook with the task's batch."""
        if self._rests(data_batch):
            return
        self._call(
            runner,
            "before_train_iter",
            batch_idx=batch_idx,
            data_batch=(data_batch or {}).get(self.task),
        )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Call the stock hook with the task's batch and the values it logged."""
        if self._rests(data_batch):
            return
        prefix = f"{self.task}/"
        self._call(
            runner,
            "after_train_iter",
            batch_idx=batch_idx,
            data_batch=(data_batch or {}).get(self.task),
            outputs={
                name.removeprefix(prefix): value
                for name, value in (outputs or {}).items()
                if name.startswith(prefix)
            },
        )


class _TaskRunner:
    """The runner as a hook of one task sees it."""

    def __init__(self, runner: Runner, model: nn.Module) -> None:
        self._runner = runner
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)
