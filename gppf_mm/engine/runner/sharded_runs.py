"""What the runner does otherwise where the bank is sharded."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import Tensor, nn

from gppf_mm.engine.distributed import SIMTFullyShardedDataParallel
from gppf_mm.engine.distributed.shard import Shard
from gppf_mm.registry import MODEL_WRAPPERS
from gppf_mm.utils.sharded_files import Make, read_folder

from .building import unwrap


def wraps_sharded(model_wrapper_cfg: dict | None) -> bool:
    """Return whether a config names the wrapper that shards."""
    kind = (model_wrapper_cfg or {}).get("type")
    found = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, SIMTFullyShardedDataParallel)


def wrap_sharded(
    model_wrapper_cfg: dict | None, model: nn.Module, cfg: Config
) -> SIMTFullyShardedDataParallel:
    """Shard a model that is on the CPU; MMEngine would put all of it on the GPU."""
    if cfg.get("sync_bn") is not None:
        model = convert_sync_batchnorm(model, cfg.sync_bn)
    return MODEL_WRAPPERS.build(model_wrapper_cfg, default_args=dict(module=model))


def prepare_sharded(
    model: SIMTFullyShardedDataParallel,
    optim_wrapper: OptimWrapper,
    hooks: Iterable[Hook],
) -> None:
    """Prepare optimizer and hooks for shards.

    Raises:
        ValueError: If one of them needs whole parameters, or checkpoints in files.
    """
    hooks = list(hooks)
    if any(isinstance(hook, EMAHook) for hook in hooks):
        raise ValueError(
            "`custom_hooks` has an EMAHook, whose second model would hold shards that "
            "no checkpoint collects. Take it out, or take `model_wrapper_cfg` out, for "
            "SIMTDataParallel."
        )
    published = [getattr(hook, "published_keys", None) for hook in hooks]
    found = [keys for keys in published if keys is not None]
    if found and model.checkpoint == "sharded":
        raise ValueError(
            f"`default_hooks.checkpoint.published_keys` is {found[0]}, and MMEngine "
            "publishes files alone, but `model_wrapper_cfg.checkpoint` is 'sharded', "
            "which saves folders; expected checkpoint='full', or no `published_keys`."
        )
    model.adopt(optim_wrapper)


def load_folder(
    runner: Runner,
    folder: str,
    strict: bool,
    revise_keys: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Load a checkpoint folder as ``Runner.load_checkpoint`` loads a file.

    A sharded model reads just its shards, into their place on the device.
    """
    checkpoint = read_folder(folder, _shard_maker(runner.model))
    runner.call_hook("after_load_checkpoint", checkpoint=checkpoint)
    model = unwrap(runner.model)
    _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
    runner.logger.info(f"Load checkpoint from {folder}")
    return checkpoint


def _shard_maker(model: nn.Module) -> Make | None:
    if not isinstance(model, SIMTFullyShardedDataParallel):
        return None
    device = next(model.parameters()).device

    def make(size: torch.Size, dtype: torch.dtype) -> Tensor:
        shard = Shard(size)
        start, end = shard.bounds()
        rows = torch.empty(end - start, *size[1:], dtype=dtype, device=device)
        return model.state.as_dtensor(rows, shard)

    return make
