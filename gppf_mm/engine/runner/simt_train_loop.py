"""The SIMT training loop."""

import bisect
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from mmengine.dist import get_rank
from mmengine.runner import BaseLoop, Runner
from torch import nn

from gppf_mm.datasets import SIMTDataLoader, build_schedule, set_sizes
from gppf_mm.registry import LOOPS
from gppf_mm.utils.messages import check_names, check_tasks
from gppf_mm.utils.seeding import derive_seed, seed_everything

from .building import (
    build_loaders,
    check_loader_cfgs,
    common_seed,
    restartable,
    task_names,
    unwrap,
)
from .class_checks import check_classes
from .intervals import check_iterations, validation_intervals
from .pool_options import pool_options
from .routing_schedules import late_schedules


@LOOPS.register_module()
class SIMTTrainLoop(BaseLoop):
    """Single Iteration Multiple Tasks: an iteration trains every task.

    One iteration takes a batch of each task, or what the schedule says, and makes one
    optimizer step. All random numbers of an iteration derive from ``(seed, rank,
    iteration)``, and those of a sample from its task and its place in the task's data,
    so that a resumed run continues bit by bit, at once.

    Args:
        runner: The runner.
        dataloader: The stock loader config of each task.
        max_iters: Total iterations.
        val_begin: The iteration that begins validating. Defaults to 1.
        val_interval: Validation interval in iterations. Defaults to 1000.
        dynamic_intervals: Pairs of a milestone and the interval after it. Defaults to
            None.
        num_workers: Worker processes for all tasks together. Defaults to None, the
            largest number in the tasks' configs (our choice).
        max_bad_samples: The share of a task's samples that may be unreadable, beyond
            the first three; they are logged and replaced. Defaults to 0.01 (our
            choice).
        schedule: Config of the `TaskSchedule` that says which tasks an iteration
            trains. Defaults to None, every task.

    Raises:
        ValueError: If a task that is trained has no loader, or a loader no task, an
            interval is no number of iterations, or a data set has more classes than
            its task's heads predict.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, dict],
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: Sequence[tuple[int, int]] | None = None,
        num_workers: int | None = None,
        max_bad_samples: float = 0.01,
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        check_names("train_dataloader", dataloader, task_names(runner))
        # Tasks that a transfer keeps as they are may have a loader, of a `_base_`, say.
        trained = unwrap(runner.model).trained_tasks
        # In the model's order, which a checkpoint tells, whatever the loaders' is.
        dataloader = {task: dataloader[task] for task in trained if task in dataloader}
        check_tasks("train_dataloader", dataloader, trained)
        check_loader_cfgs("train_dataloader", dataloader)
        check_iterations("max_iters", max_iters, least=1)
        check_iterations("val_begin", val_begin, least=0)
        intervals = validation_intervals(val_interval, dynamic_intervals)
        cfgs = {task: restartable(cfg) for task, cfg in dataloader.items()}
        loaders = build_loaders(runner, cfgs, "train_dataloader")
        check_classes("train_dataloader", loaders, unwrap(runner.model).tasks)
        loader = SIMTDataLoader(
            loaders,
            max_bad_samples=max_bad_samples,
            schedule=build_schedule(schedule, set_sizes(loaders)),
            **pool_options(dataloader, num_workers),
        )
        super().__init__(runner, loader)
        self._max_iters = int(max_iters)
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.dynamic_milestones, self.dynamic_intervals = intervals
        self.stop_training = False  # Set by `EarlyStoppingHook`.

    @property
    def max_epochs(self) -> int:
        """The whole training counts as one epoch."""
        return 1

    @property
    def max_iters(self) -> int:
        """Total iterations."""
        return self._max_iters

    @property
    def epoch(self) -> int:
        """The current epoch, always 0."""
        return 0

    @property
    def iter(self) -> int:
        """The current iteration."""
        return self._iter

    def run(self) -> nn.Module:
        """Train from the current iteration to the last.

        Returns:
            The trained model.
        """
        late = late_schedules(unwrap(self.runner.model), self._max_iters)
        if late is not None:
            self.runner.logger.warning(late)
        if self._iter >= self._max_iters:
            self.runner.logger.warning(
                f"Nothing is left to train: the checkpoint is of iteration "
                f"{self._iter}, and `train_cfg.max_iters` is {self._max_iters}. To "
                "train on, raise it."
            )
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter:
            self._validate()
        loader, seed = self.dataloader, common_seed(self.runner)
        with (
            loader.pool.supervise(),
            closing(loader.iterate(self._iter, seed)) as batches,
        ):
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(next(batches))
                self._validate()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: dict[str, Any]) -> None:
        """Take one SIMT step.

        Args:
            data_batch: A batch, or several as `Batches`, of each task that the
                iteration trains, by task.
        """
        for task, seconds in self.dataloader.data_times.items():
            self.runner.message_hub.update_scalar(f"train/{task}/data_time", seconds)
        # Before the hooks, which may look at the step's plan.
        unwrap(self.runner.model).network.set_step(self._iter)
        self.runner.call_hook(
            "before_train_iter", batch_idx=self._iter, data_batch=data_batch
        )
        seed_everything(derive_seed(self.runner.seed, "step", get_rank(), self._iter))
        outputs = self.runner.model.train_step(
            data_batch, optim_wrapper=self.runner.optim_wrapper
        )
        self.runner.call_hook(
            "after_train_iter",
            batch_idx=self._iter,
            data_batch=data_batch,
            outputs=outputs,
        )
        self._iter += 1

    def _validate(self) -> None:
        """Validate if it is time to, once for an iteration.

        The checkpoint of an iteration is saved before its validation, so that a run
        that is resumed from it may owe the validation. One that is saved for its score
        has the note.
        """
        self._decide_current_val_interval()
        hub = self.runner.message_hub
        # A name that begins with `val` would be logged as a metric.
        if self._validates_now() and hub.get_info("last_val_iter") != self._iter:
            hub.update_info("last_val_iter", self._iter)
            self.runner.val_loop.run()

    def _validates_now(self) -> bool:
        return (
            self.runner.val_loop is not None
            and self._iter >= self.val_begin
            and (self._iter % self.val_interval == 0 or self._iter == self._max_iters)
        )

    def _decide_current_val_interval(self) -> None:
        step = bisect.bisect(self.dynamic_milestones, self._iter + 1)
        self.val_interval = self.dynamic_intervals[step - 1]
