"""One SIMT step: Single Iteration Multiple Tasks."""

from collections.abc import Callable, Iterable, Mapping

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.utils.batches import batches_of
from gppf_mm.utils.messages import check_names

from .combiner import GradientCombiner
from .gradients import GradientRows
from .network import LegoNetwork
from .regularizers import regularize
from .task_step import Batch, TaskStep
from .timing import TaskTimer


class SIMTModel(TaskStep):
    """The training step of a multi-task model; `GPPF` has the rest.

    Attributes:
        tasks: The stock model of each task.
        network: What the tasks share.
        combiner: Joins the tasks' gradients where they are kept apart.
        timer: Measures how long each task takes.
        regularizers: What the routes are drawn to besides the tasks' losses.
    """

    tasks: nn.ModuleDict
    network: LegoNetwork
    combiner: GradientCombiner
    timer: TaskTimer
    regularizers: nn.ModuleList

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, in the order of the config."""
        return tuple(self.tasks)

    @property
    def rows(self) -> GradientRows:
        """The gradients that are kept apart; see `GradientCombiner`."""
        return self.combiner.rows

    def train_step(
        self, data: Mapping[str, Batch], optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Take one SIMT step: every task's batch, one optimizer step.

        Args:
            data: A batch of each task, or several as `Batches`, by task.
            optim_wrapper: A stock wrapper around the optimizer.

        Returns:
            The values to log, ``<task>/<name>``, and ``loss``, their sum weighted by
            ``loss_weights``.
        """
        log_vars = self.backward(data, optim_wrapper)
        self.skip(self.nonfinite.found)
        if optim_wrapper.should_update():
            log_vars.update(self.combine(optim_wrapper))
            self.take_step(optim_wrapper)
        return log_vars

    def take_step(self, optim_wrapper: OptimWrapper) -> None:
        """Take the optimizer's step, and drop the gradients.

        Where nothing has a gradient, as after losses none of which was finite, there is
        no step to take, and a loss scaler would not bear one.

        Args:
            optim_wrapper: A stock wrapper around the optimizer.
        """
        groups = optim_wrapper.param_groups
        if any(item.grad is not None for group in groups for item in group["params"]):
            optim_wrapper.step()
        optim_wrapper.zero_grad()

    def backward(
        self,
        data: Mapping[str, Batch],
        optim_wrapper: OptimWrapper,
        after_task: Callable[[str], None] | None = None,
    ) -> dict[str, Tensor]:
        """Accumulate the gradients of one SIMT step, one task after the other.

        A task's activations are freed before the next task's forward pass, so that the
        peak of memory is the largest task's and not their sum. Afterwards the gradients
        are in ``.grad``; those on the shared parameters are in `rows` instead, where
        they are kept apart until `combine`.

        Args:
            data: A batch of each task, or several as `Batches`, by task.
            optim_wrapper: A stock wrapper around the optimizer.
            after_task: Is called with each task whose backward pass is over. Defaults
                to None, nothing.

        Returns:
            The values to log.

        Raises:
            ValueError: If a task is unknown, or its batch lacks the labels that its
                model asks for.
        """
        check_names("train_dataloader", data, self.task_names)
        self.nonfinite.begin()
        apart = self.keeps_apart(optim_wrapper)
        device = next(self.parameters()).device
        log_vars: dict[str, Tensor] = {}
        for task in data:
            # All plans first: drawing one waits for what the device was given before,
            # and that would be the backward pass of the task before.
            self.network.draw(task)
        # On the device, for a copy to it would wait likewise.
        total = torch.zeros((), device=device)
        for task, batches in data.items():
            with self.timer.measure(task, device):
                loss, logged = self._backward_task(
                    task, batches_of(batches), optim_wrapper
                )
            logged |= self.timer.read(task)
            log_vars.update({f"{task}/{name}": value for name, value in logged.items()})
            if task not in self.nonfinite.found:
                total = total + loss
            if apart:
                loss = optim_wrapper.scale_loss(loss)
                self.rows.take(task, self.network.parameters(), loss)
            if after_task is not None:
                after_task(task)
        optim_wrapper._inner_count += 1
        log_vars["loss"] = total
        return log_vars

    def keeps_apart(self, optim_wrapper: OptimWrapper) -> bool:
        """Return whether this iteration's gradients on shared parameters go to `rows`.

        Args:
            optim_wrapper: The wrapper whose step is next.
        """
        counts = optim_wrapper._accumulative_counts
        return self.combiner.begin(self.network.iteration, counts)

    def combine(self, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Make the optimizer's gradients of the tasks' own, before the optimizer step.

        In data-parallel training the losses, rows and other gradients are averaged
        before, since what follows is not linear.

        Args:
            optim_wrapper: The wrapper whose step comes next.

        Returns:
            More values to log.

        Raises:
            FloatingPointError: If the task weighting's weights were not finite too
                often in a row.
        """
        log = self._combine_rows(optim_wrapper)
        network = self.network
        network.rest_frozen_routes()
        log |= regularize(self.regularizers, network, optim_wrapper)
        return log

    def _combine_rows(self, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Join what was kept apart; return values to log."""
        if not self.keeps_apart(optim_wrapper):
            self.combiner.end()
            return {}
        private = {
            task: [item.grad for item in model.parameters() if item.grad is not None]
            for task, model in self.tasks.items()
        }
        scaler = getattr(optim_wrapper, "loss_scaler", None)
        losses = dict(self.rows.losses)
        log = self.combiner.combine(
            list(self.network.parameters()),
            private,
            self.network.iteration,
            1.0 if scaler is None else scaler.get_scale(),
        )
        keys = {task: f"{task}/weight" for task in self.task_names}
        weights = {task: log[key] for task, key in keys.items() if key in log}
        # Losses and rows are equal on all ranks by now, so these decide alike.
        if not self.nonfinite.settle_weights(self.combiner.method, weights, losses):
            self.zero_grad()
        for task, weight in weights.items():
            log[keys[task]] = weight * self.loss_weights[task]
        return log

    def skip(self, tasks: Iterable[str]) -> None:
        """Leave all that these tasks train out of the present optimizer step.

        The others' heads take it; a unit that another task has in common with these
        does not. So a loss that is not finite reaches no weight.

        Args:
            tasks: The tasks whose loss was not finite, on any rank.

        Raises:
            FloatingPointError: If that happens too often in a row.
        """
        tasks = list(tasks)
        for task in tasks:
            for parameter in self.tasks[task].parameters():
                parameter.grad = None
            active = self.network.active_parameters(task)
            self.rows.drop(task, active)
            for parameter in active:
                parameter.grad = None
        self.nonfinite.settle(tasks)
