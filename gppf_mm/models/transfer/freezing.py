"""What is not trained over a trained bank."""

from collections.abc import Mapping

from torch import nn

from ..network import LegoNetwork, Parts
from ..origins import StepOrigins
from .settings import Transfer


def freeze(
    transfer: Transfer,
    network: LegoNetwork,
    parts: Mapping[str, Parts],
    models: Mapping[str, nn.Module],
) -> None:
    """Exempt parameters from training.

    To be called before the optimizer is built. Frozen units get no gradient; the
    gradient of a mixing weight passes by them.

    Args:
        transfer: What to freeze.
        network: The shared network.
        parts: The shared parts of each task, as `LegoNetwork` has them.
        models: The tasks' models; those of the tasks that are kept are frozen whole.
    """
    kept = transfer.kept(parts)
    # A frozen route is that of an evaluation: no schedule goes on.
    still = tuple(parts) if "routes" in transfer.freeze else kept
    network.origins = StepOrigins(tuple(parts), still)
    trained = {
        parameter
        for task in parts
        if task not in kept
        for parameter in network.router.parameters_of(task)
    }
    for task in kept:
        models[task].requires_grad_(False)
        for parameter in network.router.parameters_of(task):
            if parameter not in trained:
                parameter.requires_grad_(False)
    if "units" in transfer.freeze:
        network.bank.requires_grad_(False)
    if "routes" in transfer.freeze:
        network.router.requires_grad_(False)
    if "norms" in transfer.freeze:
        for task in transfer.new:
            for part in parts[task].values():
                part.requires_grad_(False)


def keep_statistics(transfer: Transfer, parts: Mapping[str, Parts]) -> None:
    """Keep the running statistics of what is frozen, after each ``train()``.

    Args:
        transfer: What is frozen.
        parts: The shared parts of each task.
    """
    for task in transfer.new:
        for part in parts[task].values():
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._NormBase):
                    # Statistics that are no buffers here are common to all tasks.
                    common = "running_mean" not in module._buffers
                    if "norms" in transfer.freeze or (
                        common and "units" in transfer.freeze
                    ):
                        module.eval()
