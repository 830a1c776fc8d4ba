"""Data-parallel training of a SIMT model whose bank is sharded over the ranks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh

from gppf_mm.models import GPPF
from gppf_mm.models.products import InnerProducts
from gppf_mm.registry import MODEL_WRAPPERS

from .averaging import gather_ranks
from .shard import fill_shards, is_sharded, shard_of, shard_parameters, whole_shape
from .sharded_optim import check_elementwise, clip_grad_norm_, share_overflows
from .sharded_state import ShardedState
from .sharded_weights import ShardedWeights
from .simt_data_parallel import SIMTDataParallel

Checkpoints = Literal["full", "sharded"]


@MODEL_WRAPPERS.register_module()
class SIMTFullyShardedDataParallel(SIMTDataParallel):
    """Is `SIMTDataParallel` with each rank holding its rows of the bank.

    Of every unit and shared parameter, its gradient and its optimizer state, each of N
    ranks has one N-th. A task's weights are mixed in shards and gathered whole once per
    step, for its forward and backward passes; see `ShardedWeights`. What the tasks have
    of their own (heads, normalisation) and the router stay whole on every rank and are
    averaged as in `SIMTDataParallel`, and steps are equal to its steps.

    In ``module`` the bank's parameters have the shape of this rank's rows. The
    optimizer must treat each element by itself (SGD, Adam and the like; not LARS or
    LAMB), which is checked, and is clipped by the norm of the whole gradients.

    Args:
        module: A `GPPF`, on any device: only the shards go to the training device.
        bucket_mib: Weights and gradients travel in pieces of this size, in MiB.
            Defaults to 25.
        checkpoint: ``'full'``: checkpoints are single files, as of any other run.
            ``'sharded'``: each is a folder into which every rank writes its shards.
            Either is resumed on any number of ranks. Defaults to ``'full'``.

    Raises:
        ValueError: If ``checkpoint`` is neither of the two, or the task weighting
            needs whole gradients.
    """

    def __init__(
        self, module: GPPF, bucket_mib: float = 25, checkpoint: Checkpoints = "full"
    ) -> None:
        if checkpoint not in get_args(Checkpoints):
            raise ValueError(
                f"`model_wrapper_cfg.checkpoint` is {checkpoint!r}; expected one of "
                f"{get_args(Checkpoints)}."
            )
        module.combiner.shard(InnerProducts(whole_shape, gather_ranks))
        device = torch.device(get_device())
        bank = module.network.bank
        shard_parameters(bank, device)
        super().__init__(module.to(device), bucket_mib)
        self.checkpoint = checkpoint
        mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
        self.state = ShardedState(bank, mesh)
        self._weights = ShardedWeights(
            module.network, self._control, int(bucket_mib * 2**20)
        )
        module.network.gather_with(self._weights)
        self._adopted: OptimWrapper | None = None

    def init_weights(self) -> None:
        """Give the model its first values, those that rank 0 draws.

        The whole bank is in the memory of the CPU meanwhile.
        """
        with self._whole_on_cpu() as whole:
            self.module.init_weights()
            values = {name: item.detach() for name, item in whole.items()}
        fill_shards(self.module.network.bank, values)
        with self.state.left_out():
            for value in self.module.state_dict().values():
                if isinstance(value, Tensor):
                    distributed.broadcast(value, src=0)

    def adopt(self, optim_wrapper: OptimWrapper) -> None:
        """Prepare an optimizer wrapper for shards.

        Args:
            optim_wrapper: A stock wrapper around an optimizer of this model.

        Raises:
            ValueError: If the optimizer is of other parameters, or needs whole ones.
        """
        if optim_wrapper is self._adopted:
            return
        self._adopted = optim_wrapper
        optimizer = optim_wrapper.optimizer
        own = set(self.parameters())
        if any(p not in own for g in optimizer.param_groups for p in g["params"]):
            raise ValueError(
                "The optimizer was built before the model was sharded, for parameters "
                "that are no longer there. Give `optim_wrapper` as a config."
            )
        check_elementwise(optimizer)
        self.state.watch(optimizer)
        if isinstance(optim_wrapper, AmpOptimWrapper):
            share_overflows(optim_wrapper)
        if getattr(optim_wrapper, "clip_func", None) is nn.utils.clip_grad_norm_:
            optim_wrapper.clip_func = clip_grad_norm_

    @contextmanager
    def _whole_on_cpu(self) -> Iterator[dict[str, nn.Parameter]]:
        """Put whole parameters, of any value, in the places of the shards."""
        places = [
            (owner, leaf, parameter)
            for owner in self.module.network.bank.modules()
            for leaf, parameter in owner._parameters.items()
        ]
        for owner, leaf, parameter in places:
            empty = torch.empty(shard_of(parameter).shape, dtype=parameter.dtype)
            owner._parameters[leaf] = nn.Parameter(empty)
        try:
            yield dict(self.module.network.bank.named_parameters())
        finally:
            for owner, leaf, parameter in places:
                owner._parameters[leaf] = parameter

    def _begin(self, data: Mapping[str, Any], updates: bool, apart: bool) -> None:
        super()._begin(data, updates, apart)
        self._weights.begin()

    def _trained_by(self, task: str, apart: bool) -> list[nn.Parameter]:
        private = self.module.tasks[task].parameters()
        return [item for item in private if item.requires_grad]

    def _trained_after_all(self, task: str, apart: bool) -> list[nn.Parameter]:
        return [] if apart else self._routes(task)

    def _routes(self, task: str) -> list[nn.Parameter]:
        """Return what a task trains besides its own and the shards."""
        shared = self.module.network.active_parameters(task)
        return [i for i in shared if i.requires_grad and not is_sharded(i)]

    def _end_task(self, task: str) -> None:
        # In this order on all ranks: all of a stage has left before its gradients do.
        super()._end_task(task)
        self._weights.end_task(task)

    def _end_row(self, task: str, updates: bool) -> None:
        """Wait for `_end_tasks`: the gradients are on their way to their rows."""

    def _end_tasks(self, apart: bool, updates: bool) -> None:
        def keep(task: str) -> None:
            self.module.rows.add(task, self.module.network.parameters())
            self._rows.end_task(task, self._routes(task), updates)

        self._weights.finish(keep if apart else None)
