"""GPPF: stock task models over one bank and one router."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.batches import batches_of
from gppf_mm.utils.messages import check_names, check_task_name, check_tasks

from .init import initialise
from .labels import check_labels
from .network import LegoNetwork
from .nonfinite import NonFiniteGuard
from .parts import (
    check_share,
    check_ties,
    find_parts,
    names_by_parameter,
    part_paths,
)
from .protocol import check_task_model
from .sync_bn import revert_sync_bn

_LEGO_KEYS = (
    "num_units",
    "router",
    "placement",
    "mismatch",
    "channels_last",
    "init",
)

Batch = Any  # What a stock loader yields: a dict, a tuple or a list.


@MODELS.register_module()
class GPPF(BaseModel):
    """Trains stock models of several tasks over one bank of lego units.

    GPPF is the task-level dynamic network of arXiv 2208.02148: knowledge lies in lego
    units in every layer, and each task activates a sparse subset of them. Each stock
    model keeps its class, its heads, its data preprocessor and its geometry; only the
    parameters of its shared parts move to the bank.

    Args:
        tasks: The stock model config of each task, by the task's name. Give each its
            ``_scope_`` (``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``) or full type
            names.
        lego: The shared network: ``num_units``, ``router``, and optionally
            ``placement``, ``mismatch`` and ``channels_last`` (see `LegoNetwork`) and
            ``init`` (see `initialise`).
        loss_weights: Weight of each task's loss. Defaults to None, 1 for each.
        share: Attributes of the stock models that are shared. A task whose model has
            no such part, or one without parameters, takes no part in it; the backbone
            every task has. Defaults to ``('backbone',)``.
        parts: Where tasks have a shared part under another name, by task and part:
            ``{'shop': {'backbone': 'image_encoder.0'}}``. Defaults to None, nowhere.
        max_nonfinite: The run ends after so many steps in a row in which a task's loss
            was NaN or Inf; see `skip`. Defaults to 10.
        init_cfg: Not used: the stock models bring their own. Defaults to None.

    SyncBN works in distributed runs on GPUs alone; elsewhere it becomes BN, under the
    same parameter names.

    Raises:
        TypeError: If a task's model is not of the kind that can be trained; see
            `TaskModel`.
        ValueError: If a name is not allowed, no task's model has such an attribute or
            one has no backbone, the tasks' shared parts differ, or a shared parameter
            is tied to one outside the shared parts.
    """

    def __init__(
        self,
        tasks: Mapping[str, dict],
        lego: Mapping[str, Any],
        loss_weights: Mapping[str, float] | None = None,
        share: Sequence[str] = ("backbone",),
        parts: Mapping[str, Mapping[str, str]] | None = None,
        max_nonfinite: int = 10,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not tasks:
            raise ValueError("`model.tasks` is empty; expected at least one task.")
        for task in tasks:
            check_task_name(task)
        check_names("model.lego", lego, _LEGO_KEYS)
        for key in ("num_units", "router"):
            if key not in lego:
                raise ValueError(
                    f"`model.lego.{key}` is missing; for example model.lego=dict("
                    "num_units=4, router=dict(type='gppf_mm.TopKRouter', k=2))."
                )
        init = dict(lego.get("init") or {})
        check_names("model.lego.init", init, ("units", "perturbation", "checkpoint"))
        self.loss_weights = dict.fromkeys(tasks, 1.0)
        if loss_weights is not None:
            check_tasks("model.loss_weights", loss_weights, tasks)
            self.loss_weights.update(loss_weights)
        self.share = check_share(share)
        self.nonfinite = NonFiniteGuard(tasks, max_nonfinite)
        self.paths = part_paths(parts or {}, tuple(tasks), self.share)
        # Stock heads read their settings as attributes.
        self._task_cfgs = {task: ConfigDict(cfg) for task, cfg in tasks.items()}
        self._init = init
        self.tasks = nn.ModuleDict(
            {task: MODELS.build(deepcopy(cfg)) for task, cfg in self._task_cfgs.items()}
        )
        for task, model in self.tasks.items():
            check_task_model(task, model)
            revert_sync_bn(model)
        names = {
            task: names_by_parameter(model, self.paths[task])
            for task, model in self.tasks.items()
        }
        self.network = LegoNetwork(
            find_parts(self.tasks, self.share, self.paths),
            lego["num_units"],
            lego["router"],
            lego.get("placement", ()),
            lego.get("mismatch", "error"),
            lego.get("channels_last", False),
        )
        for task in self.tasks:
            check_ties(task, names[task], self.network.shared_names(task), self.share)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, in the order of the config."""
        return tuple(self._task_cfgs)

    def init_weights(self) -> None:
        """Give bank and tasks their first values; see `initialise`."""
        initialise(
            self.network.bank, self.tasks, self._task_cfgs, self.paths, **self._init
        )
        self._is_init = True

    @contextmanager
    def activate(self, task: str) -> Iterator[nn.Module]:
        """Lend a task's stock model, complete with its weights.

        Args:
            task: The task.

        Yields:
            The stock model. It is only whole inside the ``with`` block.

        Raises:
            ValueError: If there is no such task.
        """
        check_names("task", [task], self.task_names)
        with self.network.activate(task):
            yield self.tasks[task]

    def train_step(
        self, data: Mapping[str, Batch], optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Take one SIMT step: every task's batch, one optimizer step.

        Args:
            data: A batch of each task, or several as `Batches`, by task.
            optim_wrapper: A stock wrapper around the optimizer.

        Returns:
            The values to log, ``<task>/<name>``, and ``loss``, their weighted sum.
        """
        log_vars = self.backward(data, optim_wrapper)
        self.skip(self.nonfinite.found)
        if optim_wrapper.should_update():
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return log_vars

    def backward(
        self,
        data: Mapping[str, Batch],
        optim_wrapper: OptimWrapper,
        after_task: Callable[[str], None] | None = None,
    ) -> dict[str, Tensor]:
        """Accumulate the gradients of one SIMT step, one task after the other.

        A task's activations are freed before the next task's forward pass, so that the
        peak of memory is the largest task's and not their sum.

        Args:
            data: A batch of each task, or several as `Batches`, by task.
            optim_wrapper: A stock wrapper around the optimizer.
            after_task: Is called with each task whose backward pass is over. Defaults
                to None, nothing.

        Returns:
            The values to log.

        Raises:
            ValueError: If a task is unknown, or its batch has no labels.
        """
        check_names("train_dataloader", data, self.task_names)
        for task, batches in data.items():
            for batch in batches_of(batches):
                check_labels(task, batch)
        self.nonfinite.begin()
        log_vars: dict[str, Tensor] = {}
        total = torch.zeros(())
        for task, batches in data.items():
            loss, logged = self._backward_task(task, batches_of(batches), optim_wrapper)
            log_vars.update({f"{task}/{name}": value for name, value in logged.items()})
            if task not in self.nonfinite.found:
                total = total.to(loss.device) + loss
            if after_task is not None:
                after_task(task)
        optim_wrapper._inner_count += 1
        log_vars["loss"] = total
        return log_vars

    def _backward_task(
        self, task: str, batches: Sequence[Batch], optim_wrapper: OptimWrapper
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add one task's gradients; return its weighted loss and values to log.

        Both are means over its batches, and detached, so that nothing of the task's
        graph outlives the call.
        """
        total = torch.zeros(())
        means: dict[str, Tensor] = {}
        for batch in batches:
            loss, logged = self._backward_batch(
                task, batch, 1 / len(batches), optim_wrapper
            )
            total = total.to(loss.device) + loss
            for name, value in logged.items():
                value = value.detach() / len(batches)
                means[name] = means[name] + value if name in means else value
        return total, means

    def _backward_batch(
        self, task: str, batch: Batch, share: float, optim_wrapper: OptimWrapper
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradients of one batch, whose loss counts for a share.

        A loss that is not finite adds nothing and leaves running statistics alone.
        """
        with self.activate(task) as model:
            buffers = [buffer.clone() for buffer in model.buffers()]
            with optim_wrapper.optim_context(self):
                losses = _forward_loss(model, batch)
            loss, logged = model.parse_losses(losses)
            loss = self.loss_weights[task] * share * loss
            if self.nonfinite.is_finite(task, loss, batch):
                optim_wrapper.backward(optim_wrapper.scale_loss(loss))
                # The wrapper counts backward passes as steps; a SIMT step is one.
                optim_wrapper._inner_count -= 1
            else:
                for buffer, before in zip(model.buffers(), buffers, strict=True):
                    buffer.copy_(before)
        return loss.detach(), logged

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
            for parameter in self.network.active_parameters(task):
                parameter.grad = None
        self.nonfinite.settle(tasks)

    def val_step(self, data: Mapping[str, Batch]) -> dict[str, list]:
        """Predict a batch of each task that has one.

        Args:
            data: Batches by task.

        Returns:
            The stock models' data samples with predictions, by task.
        """
        return {task: self.predict(task, batch) for task, batch in data.items()}

    test_step = val_step

    def predict(self, task: str, batch: Batch) -> list:
        """Predict one batch of one task.

        Args:
            task: The task.
            batch: A batch as the task's stock loader yields it.

        Returns:
            The stock model's data samples with predictions.
        """
        with self.activate(task) as model:
            return model.test_step(batch)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = "tensor",
        task: str | None = None,
    ) -> Any:
        """Run one task's stock ``forward`` on preprocessed inputs.

        In ``'loss'`` mode with gradients use `activate` instead: a checkpointed block
        is recomputed in the backward pass, which must be inside its ``with`` block.

        Args:
            inputs: What the stock model takes, usually images of shape (N, C, H, W).
            data_samples: The stock data samples. Defaults to None.
            mode: ``'tensor'``, ``'predict'`` or ``'loss'``. Defaults to ``'tensor'``.
            task: The task. Defaults to None, the first.

        Returns:
            What the stock model returns.
        """
        with self.activate(task or self.task_names[0]) as model:
            return model(inputs, data_samples, mode=mode)


def _forward_loss(model: BaseModel, batch: Batch) -> dict[str, Tensor]:
    data = model.data_preprocessor(batch, True)
    if isinstance(data, dict):
        return model(**data, mode="loss")
    return model(*data, mode="loss")
