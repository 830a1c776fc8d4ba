"""GPPF: stock task models over one bank and one router."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.config import ConfigDict
from torch import Tensor, nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import (
    check_mapping,
    check_names,
    check_number,
    check_task_name,
    check_tasks,
)

from .combiner import GradientCombiner
from .init import initialise, read_init
from .network import LegoNetwork
from .nonfinite import NonFiniteGuard
from .parts import (
    check_share,
    check_ties,
    find_parts,
    names_by_parameter,
    part_paths,
)
from .protocol import build_task_model, check_task_model
from .regularizers import build_regularizers
from .simt_step import SIMTModel
from .sync_bn import revert_sync_bn
from .task_clip import build_task_clip
from .task_step import Batch
from .timing import TaskTimer
from .transfer import freeze, keep_statistics, read_transfer, take_over, take_tasks
from .weighting import build_weighting

_LEGO_KEYS = (
    "num_units",
    "router",
    "placement",
    "mismatch",
    "channels_last",
    "norm",
    "init",
    "regularizers",
    "transfer",
)


@MODELS.register_module()
class GPPF(SIMTModel):
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
            ``placement``, ``mismatch``, ``channels_last`` and ``norm`` (see
            `LegoNetwork`), ``init`` (see `initialise`), ``regularizers`` of the routes
            (see `build_regularizers`) and ``transfer`` (see `read_transfer`).
        loss_weights: Weight of each task's loss. Defaults to None, 1 for each.
        share: Attributes of the stock models that are shared. A task whose model has
            no such part, or one without parameters, takes no part in it; the backbone
            every task has. Defaults to ``('backbone',)``.
        parts: Where tasks have a shared part under another name, by task and part:
            ``{'shop': {'backbone': 'image_encoder.0'}}``. Defaults to None, nowhere.
        max_nonfinite: The run ends after so many steps in a row in which a task's loss
            or its weight by ``weighting`` was NaN or Inf; see `skip`. Defaults to 10.
        weighting: How much each task counts, by a method of torchjd; see
            `build_weighting`. The losses are multiplied by ``loss_weights`` before.
            Defaults to None, the sum of the losses.
        clip_grad_per_task: Clipping of each task's gradients by themselves, before they
            are weighted: ``max_norm`` and optionally ``norm_type``. Defaults to None.
        gradient_stats_interval: Optimizer steps from one logging of the norms and
            cosines of the tasks' gradients to the next. Defaults to 0, none.
        init_cfg: Refused unless None: the stock models bring their own. Defaults to
            None.

    Attributes:
        trained_tasks: The tasks that are trained: all but those that `transfer` keeps.

    SyncBN works in distributed runs on GPUs alone; elsewhere it becomes BN, under the
    same parameter names.

    Raises:
        TypeError: If a task's model is not of the kind that can be trained; see
            `TaskModel`.
        ValueError: If a name is not allowed, no task's model has such an attribute or
            one has no backbone, the tasks' shared parts differ, a shared parameter
            is tied to one outside the shared parts, a loss has no weight from 0, or one
            of 0 that ``weighting`` cannot work with, or there is an ``init_cfg``.
    """

    def __init__(
        self,
        tasks: Mapping[str, dict],
        lego: Mapping[str, Any],
        loss_weights: Mapping[str, float] | None = None,
        share: Sequence[str] = ("backbone",),
        parts: Mapping[str, Mapping[str, str]] | None = None,
        max_nonfinite: int = 10,
        weighting: Mapping[str, Any] | None = None,
        clip_grad_per_task: Mapping[str, Any] | None = None,
        gradient_stats_interval: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        if init_cfg is not None:
            raise ValueError(
                f"`model.init_cfg` is {init_cfg!r}, which would change nothing. Start "
                "from a multi-task checkpoint by `load_from` or `model.lego.transfer`, "
                "from a stock one by `model.lego.init.checkpoint`."
            )
        super().__init__()
        if not tasks:
            raise ValueError("`model.tasks` is empty; expected at least one task.")
        for task in tasks:
            check_task_name(task)
        check_mapping(
            "model.lego", lego, "dict(num_units=4, router=dict(type=..., ...))"
        )
        check_names("model.lego", lego, _LEGO_KEYS)
        for key in ("num_units", "router"):
            if key not in lego:
                raise ValueError(
                    f"`model.lego.{key}` is missing; for example model.lego=dict("
                    "num_units=4, router=dict(type='gppf_mm.TopKRouter', k=2))."
                )
        init = read_init("model.lego.init", lego.get("init"))
        transfer = lego.get("transfer")
        self.transfer = (
            read_transfer("model.lego.transfer", transfer, tuple(tasks))
            if transfer
            else None
        )
        kept = self.transfer.kept(tuple(tasks)) if self.transfer else ()
        self.trained_tasks = tuple(task for task in tasks if task not in kept)
        self.loss_weights = dict.fromkeys(tasks, 1.0)
        if loss_weights is not None:
            where = "model.loss_weights"
            check_mapping(where, loss_weights, f"dict({next(iter(tasks))}=1.0, ...)")
            check_tasks(where, loss_weights, tasks)
            for task, weight in loss_weights.items():
                check_number(f"{where}.{task}", weight)
            self.loss_weights.update(loss_weights)
        # Before the models, which take their time.
        weigher = build_weighting(weighting, self.trained_tasks) if weighting else None
        if weigher is not None:
            weigher.check_loss_weights(self.loss_weights)
        clip = build_task_clip(clip_grad_per_task)
        self.combiner = GradientCombiner(weigher, clip, gradient_stats_interval)
        self.timer = TaskTimer()
        self.share = check_share(share)
        self.nonfinite = NonFiniteGuard(tasks, max_nonfinite)
        self.paths = part_paths(parts or {}, tuple(tasks), self.share)
        # Stock heads read their settings as attributes.
        self._task_cfgs = {task: ConfigDict(cfg) for task, cfg in tasks.items()}
        self._init = init
        self.tasks = nn.ModuleDict(
            {task: build_task_model(task, cfg) for task, cfg in self._task_cfgs.items()}
        )
        for task, model in self.tasks.items():
            check_task_model(task, model)
            revert_sync_bn(model)
        names = {
            task: names_by_parameter(model, self.paths[task])
            for task, model in self.tasks.items()
        }
        self.network = LegoNetwork(
            self._parts(),
            lego["num_units"],
            lego["router"],
            lego.get("placement", ()),
            lego.get("mismatch", "error"),
            lego.get("channels_last", False),
            lego.get("norm", "private"),
            self.share,
        )
        for task in self.tasks:
            check_ties(task, names[task], self.network.shared_names(task), self.share)
        self.weighting = weigher
        self.regularizers = build_regularizers(
            lego.get("regularizers", ()), self.network.router
        )
        if self.transfer is not None:
            freeze(self.transfer, self.network, self._parts(), self.tasks)

    def init_weights(self) -> None:
        """Give bank and tasks their first values, or those of a trained run.

        See `initialise` and `read_transfer`.
        """
        tasks, taken = dict(self.tasks.items()), None
        if self.transfer is not None:
            # First, so that no pretrained weights are read only to be replaced.
            parts = self._parts()
            private = {
                task: nn.ModuleDict(parts[task]).state_dict()
                for task in self.transfer.new
            }
            run, taken = take_over(self.network, self.transfer, private, self.paths)
            old = {t: m for t, m in tasks.items() if t not in self.transfer.new}
            take_tasks(old, run)
            tasks = {t: m for t, m in tasks.items() if t not in old}
        cfgs, paths = self._task_cfgs, self.paths
        initialise(self.network, tasks, cfgs, paths, taken=taken, **self._init)
        self._is_init = True

    def train(self, mode: bool = True) -> "GPPF":
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        if self.transfer is not None:
            keep_statistics(self.transfer, self._parts())
        return self

    def _parts(self) -> dict[str, dict[str, nn.Module]]:
        return find_parts(self.tasks, self.share, self.paths)

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
