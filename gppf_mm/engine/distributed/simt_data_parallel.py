"""Data-parallel training of a SIMT model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, distributed, nn

from gppf_mm.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class SIMTDataParallel(nn.Module):
    """Averages gradients over the processes, once per optimizer step.

    All tasks' backward passes come first. Plans are equal on all ranks, since their
    noise depends on seed and iteration alone, so inactive units have no gradient
    anywhere and are not sent. The tasks' running statistics are averaged as well, so
    that ranks stay identical (our choice; stock data parallel keeps rank 0's).

    Args:
        module: A multi-task model with ``backward``, such as `GPPF`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, src=0)

    def train_step(
        self, data: Mapping[str, Any], optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Take one SIMT step on all ranks; see `GPPF.train_step`."""
        log_vars = self.module.backward(data, optim_wrapper)
        self._skip_nonfinite()
        if optim_wrapper.should_update():
            self._average_gradients()
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        self._average_buffers()
        return log_vars

    def val_step(self, data: Mapping[str, Any]) -> dict[str, list]:
        """Predict on this rank's share; see `GPPF.val_step`."""
        return self.module.val_step(data)

    def test_step(self, data: Mapping[str, Any]) -> dict[str, list]:
        """Predict on this rank's share; see `GPPF.val_step`."""
        return self.module.test_step(data)

    def _skip_nonfinite(self) -> None:
        """Leave out on all ranks what one had to leave out."""
        tasks = self.module.task_names
        found = torch.tensor(
            [task in self.module.nonfinite.found for task in tasks],
            dtype=torch.uint8,
            device=next(self.module.parameters()).device,
        )
        distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
        skipped = [
            task for task, flag in zip(tasks, found.tolist(), strict=True) if flag
        ]
        self.module.skip(skipped)
        for task in skipped:
            # Counters of batches, which are not averaged.
            for buffer in self.module.tasks[task].buffers():
                if not buffer.is_floating_point():
                    distributed.all_reduce(buffer, op=distributed.ReduceOp.MAX)

    def _average_gradients(self) -> None:
        parameters = [item for item in self.module.parameters() if item.requires_grad]
        if not parameters:
            return
        # A head's parameter may lack a gradient on one rank only, for want of objects.
        active = torch.tensor(
            [item.grad is not None for item in parameters],
            dtype=torch.uint8,
            device=parameters[0].device,
        )
        distributed.all_reduce(active, op=distributed.ReduceOp.MAX)
        gradients = []
        for parameter, is_active in zip(parameters, active.tolist(), strict=True):
            if is_active:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        _average(gradients)

    def _average_buffers(self) -> None:
        _average([item for item in self.module.buffers() if item.is_floating_point()])


def _average(tensors: Sequence[Tensor]) -> None:
    """Average tensors over the ranks in place, one collective for each dtype."""
    world_size = distributed.get_world_size()
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor)
    for group in by_dtype.values():
        flat = torch.cat([tensor.flatten() for tensor in group]) / world_size
        distributed.all_reduce(flat)
        values = flat.split([tensor.numel() for tensor in group])
        for tensor, value in zip(group, values, strict=True):
            tensor.copy_(value.view_as(tensor))
