"""Validation and test loops over several tasks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from mmengine.runner import BaseLoop, Runner, autocast

from gppf_mm.datasets import MultiTaskDataLoader
from gppf_mm.evaluation import MultiTaskEvaluator
from gppf_mm.registry import LOOPS
from gppf_mm.utils.messages import check_names, check_tasks
from gppf_mm.utils.signals import leave_to_parent

from .building import (
    build_evaluators,
    build_loaders,
    check_loader_cfgs,
    task_names,
    unwrap,
)
from .class_checks import check_classes


class MultiTaskEvalLoop(BaseLoop):
    """Runs each task's stock loader through its model and its stock metrics.

    Hooks get ``data_batch`` and ``outputs`` as dicts with the one task they are of.

    Args:
        runner: The runner.
        dataloader: The stock loader config of each task to evaluate.
        evaluator: The stock evaluator config of each of them.
        mean: The metrics whose average is reported as ``mean``; see
            `MultiTaskEvaluator`. Defaults to None.
        fp16: Whether to predict under autocast. Defaults to False.

    Raises:
        ValueError: If a task is not the model's, has a loader and no evaluator, or its
            data set more classes than its heads predict.
    """

    stage: Literal["val", "test"]

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, dict],
        evaluator: Mapping[str, dict | list],
        mean: Mapping[str, Mapping[str, Any]] | None = None,
        fp16: bool = False,
    ) -> None:
        where = f"{self.stage}_dataloader"
        check_names(where, dataloader, task_names(runner))
        check_loader_cfgs(where, dataloader)
        check_tasks(f"{self.stage}_evaluator", evaluator, dataloader)
        loaders = build_loaders(runner, dataloader, where)
        check_classes(where, loaders, unwrap(runner.model).tasks)
        for item in loaders.values():
            item.worker_init_fn = partial(_begin_worker, item.worker_init_fn)
        loader = MultiTaskDataLoader(loaders)
        super().__init__(runner, loader)
        self.evaluator = MultiTaskEvaluator(
            build_evaluators(runner, evaluator, dataloader),
            mean,
            f"{self.stage}_cfg.mean",
        )
        for task, metainfo in loader.metainfo().items():
            self.evaluator.evaluators[task].dataset_meta = metainfo
        self.fp16 = fp16

    def run(self) -> dict[str, Any]:
        """Evaluate all tasks.

        Returns:
            The metrics, by name with the task as prefix.
        """
        stage, runner = self.stage, self.runner
        runner.call_hook(f"before_{stage}")
        runner.call_hook(f"before_{stage}_epoch")
        runner.model.eval()
        for index, (task, batch) in enumerate(self.dataloader):
            self.run_iter(index, {task: batch})
        metrics = self.evaluator.evaluate(self.dataloader.sizes())
        runner.call_hook(f"after_{stage}_epoch", metrics=metrics)
        runner.call_hook(f"after_{stage}")
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Predict one batch of one task.

        Args:
            idx: The batch's index over all tasks.
            data_batch: The batch, by its task.
        """
        stage, runner = self.stage, self.runner
        runner.call_hook(f"before_{stage}_iter", batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs = runner.model.test_step(data_batch)
        for task, batch in data_batch.items():
            self.evaluator.process(task, outputs[task], batch)
        runner.call_hook(
            f"after_{stage}_iter",
            batch_idx=idx,
            data_batch=data_batch,
            outputs=outputs,
        )


@LOOPS.register_module()
class MultiTaskValLoop(MultiTaskEvalLoop):
    """The loop of ``val_cfg``; see `MultiTaskEvalLoop`."""

    stage = "val"


@LOOPS.register_module()
class MultiTaskTestLoop(MultiTaskEvalLoop):
    """The loop of ``test_cfg``; see `MultiTaskEvalLoop`."""

    stage = "test"


def _begin_worker(stock: Callable[[int], None] | None, worker: int) -> None:
    """Start a worker of a stock loader, which a signal to the run does not end."""
    leave_to_parent()
    if stock is not None:
        stock(worker)
