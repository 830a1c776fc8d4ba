"""Data-parallel training of a SIMT model."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, distributed, nn

from gppf_mm.registry import MODEL_WRAPPERS
from gppf_mm.utils.batches import batches_of

from .averaging import average, broadcast_state
from .control import ControlGroup
from .reducer import GradientReducer
from .rows import RowReducer
from .shard import is_sharded


@MODEL_WRAPPERS.register_module()
class SIMTDataParallel(nn.Module):
    """Averages gradients over the processes, each once per optimizer step.

    A gradient is sent as soon as the last task that trains its parameter has produced
    it, while the other tasks compute (`GradientReducer`). Which parameters a task
    trains is known from its plan, so there is no search for unused ones. Plans are
    equal on all ranks, since their noise depends on seed and iteration alone; this is
    checked at every step, by a digest of some bytes. Inactive units have no gradient
    anywhere and are not sent. Where the tasks' gradients are kept apart, as a task
    weighting may need, each task's are sent once (`RowReducer`).

    The tasks' running statistics are averaged as well, so that ranks stay identical
    (our choice; stock data parallel keeps rank 0's).

    Args:
        module: A multi-task model with ``backward``, such as `GPPF`.
        bucket_mib: Gradients are sent in pieces of this size, in MiB. Defaults to 25,
            as in PyTorch's own data parallel.
    """

    def __init__(self, module: nn.Module, bucket_mib: float = 25) -> None:
        super().__init__()
        self.module = module
        broadcast_state(module)
        self._control = ControlGroup()
        self._reducer = GradientReducer(
            [item for item in module.parameters() if not is_sharded(item)],
            self._control,
            int(bucket_mib * 2**20),
        )
        self._rows = RowReducer(module.rows, self._control)
        # Parameters trained since the last optimizer step, where gradients accumulate.
        self._trained: dict[nn.Parameter, None] = {}

    def train_step(
        self, data: Mapping[str, Any], optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Take one SIMT step on all ranks; see `GPPF.train_step`.

        Raises:
            RuntimeError: If the ranks are about to train different things.
        """
        module = self.module
        updates = _updates_next(optim_wrapper)
        self._check_agreement(data, updates)
        statistics = _statistics(module, data)
        before = [buffer.clone() for buffer in statistics]
        apart = module.keeps_apart(optim_wrapper)
        self._begin(data, updates, apart)

        def after_task(task: str) -> None:
            self._end_task(task)
            if apart:
                self._end_row(task, updates)

        log_vars = module.backward(data, optim_wrapper, after_task)
        self._end_tasks(apart, updates)
        if updates:
            self._reducer.end_stage()
            self._reducer.finish()
            self._rows.finish()
        self._skip_nonfinite()
        if updates:
            log_vars.update(module.combine(optim_wrapper))
            module.take_step(optim_wrapper)
        _average_changes(statistics, before)
        return log_vars

    def val_step(self, data: Mapping[str, Any]) -> dict[str, list]:
        """Predict on this rank's share; see `GPPF.val_step`."""
        return self.module.val_step(data)

    def test_step(self, data: Mapping[str, Any]) -> dict[str, list]:
        """Predict on this rank's share; see `GPPF.val_step`."""
        return self.module.test_step(data)

    def _check_agreement(self, data: Mapping[str, Any], updates: bool) -> None:
        """Require that all ranks train the same tasks by the same plans."""
        network = self.module.network
        what = [
            (task, len(batches_of(batches)), network.draw(task).units())
            for task, batches in data.items()
        ]
        if not self._control.agrees(repr((what, updates))):
            raise RuntimeError(
                f"Rank {distributed.get_rank()} is about to train the tasks "
                f"{list(data)} by plans that differ from another rank's. Plans follow "
                "from config, seed and iteration alone: start all ranks with the same "
                "config and the same `randomness.seed`, and let a router of your own "
                "draw its noise from `BaseRouter.generator`."
            )

    def _begin(self, data: Mapping[str, Any], updates: bool, apart: bool) -> None:
        """Tell the reducer after which task each gradient is final.

        Gradients on shared parameters that are kept apart are not in ``.grad``.
        """
        # What is trained after all tasks is of none: "".
        last: dict[nn.Parameter, str] = {}
        for task in data:
            last.update(dict.fromkeys(self._trained_by(task, apart), task))
        for task in data:
            last.update(dict.fromkeys(self._trained_after_all(task, apart), ""))
        earlier = [item for item in self._trained if item not in last]
        self._trained.update(dict.fromkeys(last))
        if not updates:
            return self._reducer.begin((), ())
        self._trained = {}
        stages: dict[str, list[nn.Parameter]] = {task: [] for task in (*data, "")}
        for parameter, task in last.items():
            stages[task].append(parameter)
        passes = [len(batches_of(batches)) for batches in data.values()]
        self._reducer.begin([earlier, *stages.values()], [0, *passes, 0])
        self._reducer.end_stage()

    def _trained_by(self, task: str, apart: bool) -> list[nn.Parameter]:
        """Return what a task trains in this step, the same list on all ranks."""
        shared = [] if apart else self.module.network.active_parameters(task)
        private = self.module.tasks[task].parameters()
        return [item for item in [*shared, *private] if item.requires_grad]

    def _trained_after_all(self, task: str, apart: bool) -> list[nn.Parameter]:
        """Return what gets a task's gradient only after all tasks, for reduction."""
        return []

    def _end_task(self, task: str) -> None:
        """Send what is final after a task's backward passes."""
        self._reducer.end_stage()

    def _end_row(self, task: str, updates: bool) -> None:
        """Send a task's gradients that are kept apart."""
        active = self.module.network.active_parameters(task)
        self._rows.end_task(task, active, updates)

    def _end_tasks(self, apart: bool, updates: bool) -> None:
        """Settle what gets its gradients after all tasks."""

    def _skip_nonfinite(self) -> None:
        """Leave out on all ranks what one had to leave out."""
        tasks = self.module.task_names
        found = [task in self.module.nonfinite.found for task in tasks]
        found = self._control.any_of(found)
        skipped = [task for task, flag in zip(tasks, found, strict=True) if flag]
        self.module.skip(skipped)
        for task in skipped:
            # Counters of batches, which are not averaged.
            for buffer in _buffers(self.module, [task]):
                if not buffer.is_floating_point():
                    distributed.all_reduce(buffer, op=distributed.ReduceOp.MAX)


def _updates_next(optim_wrapper: OptimWrapper) -> bool:
    """Return whether the optimizer steps after the next backward pass."""
    optim_wrapper._inner_count += 1
    updates = optim_wrapper.should_update()
    optim_wrapper._inner_count -= 1
    return updates


def _statistics(module: nn.Module, data: Mapping[str, Any]) -> list[Tensor]:
    return [item for item in _buffers(module, data) if item.is_floating_point()]


def _buffers(module: nn.Module, tasks: Iterable[str]) -> list[Tensor]:
    """Return what a step of these tasks may move besides parameters, each once."""
    buffers: dict[Tensor, None] = {}
    for task in tasks:
        buffers.update(dict.fromkeys(module.tasks[task].buffers()))
        buffers.update(dict.fromkeys(module.network.running_statistics(task)))
    return list(buffers)


def _average_changes(tensors: list[Tensor], before: list[Tensor]) -> None:
    """Average over the ranks by how much tensors have changed.

    What did not change, such as the statistics of a frozen layer, stays as it is to
    the last bit, which its average might not; so does an infinite value, as in a mask
    of attention, which has no difference from itself.
    """
    if not tensors:
        return
    changes, work = average(
        [
            torch.where(tensor == old, 0, tensor - old)
            for tensor, old in zip(tensors, before, strict=True)
        ]
    )
    work.wait()
    for tensor, old, change in zip(tensors, before, changes, strict=True):
        tensor.copy_(old + change)
