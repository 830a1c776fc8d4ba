"""SyncBN where there is nothing to synchronise, or no GPU to do it on."""

import torch
from mmengine.dist import is_distributed
from mmengine.model import revert_sync_batchnorm
from torch import nn


def revert_sync_bn(model: nn.Module) -> None:
    """Turn SyncBN into BN, unless the run is distributed over GPUs.

    Args:
        model: A stock model, changed in place; names of parameters and buffers stay.
    """
    if is_distributed() and torch.cuda.is_available():
        return
    for name, module in list(model.named_modules()):
        # Not a class derived from it, such as SparK's, which computes something else.
        if type(module).__name__ == "SyncBatchNorm":
            path, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(path), leaf, revert_sync_batchnorm(module))
