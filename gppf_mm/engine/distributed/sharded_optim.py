"""What an optimizer needs to work on shards."""

from collections.abc import Iterable
from inspect import signature
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper
from torch import Tensor, nn
from torch.amp.grad_scaler import OptState
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.optim import Optimizer

from .averaging import gather_ranks
from .shard import is_sharded


@torch.no_grad()
def clip_grad_norm_(
    parameters: Iterable[nn.Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Clip by the norm of the whole gradients, of which each rank has its rows.

    Args:
        parameters: Sharded and whole ones; the same on all ranks.
        max_norm: The largest norm.
        norm_type: p of the p-norm. Defaults to 2.
        error_if_nonfinite: Whether a norm that is not finite is an error. Defaults to
            False.
        foreach: See ``torch.nn.utils.clip_grad_norm_``. Defaults to None.

    Returns:
        The norm before clipping.
    """
    parameters = [item for item in parameters if item.grad is not None]
    if not parameters:
        return torch.tensor(0.0)
    device = parameters[0].grad.device
    norms = []
    for sharded in (True, False):
        gradients = [
            item.grad
            for item in parameters
            # The largest of no elements is undefined.
            if is_sharded(item) == sharded and item.grad.numel()
        ]
        norm = nn.utils.get_total_norm(gradients, norm_type, foreach=foreach)
        norms.append(norm.to(device))
    norms[0] = torch.linalg.vector_norm(gather_ranks(norms[0]), norm_type)
    total = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(
            f"The norm of the gradients is {total.item()}, so they cannot be clipped."
        )
    nn.utils.clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


class _SharingGradScaler(ShardedGradScaler):
    """Shares overflows with fused optimizers too.

    Such a one divides by the scale itself. For it PyTorch looks for overflows in this
    rank's gradients alone, and the ranks' weights and scales would part.
    """

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> float | None:
        """Take a step, or leave it out; see ``GradScaler.step``."""
        stage = self._per_optimizer_states[id(optimizer)]["stage"]
        if self.is_enabled() and stage is OptState.READY:
            self.unscale_(optimizer)
        return super().step(optimizer, *args, **kwargs)


def share_overflows(optim_wrapper: AmpOptimWrapper) -> None:
    """Let an overflow in one rank's rows leave out the step on all ranks."""
    old = optim_wrapper.loss_scaler
    if old.is_enabled() and not isinstance(old, _SharingGradScaler):
        optim_wrapper.loss_scaler = _SharingGradScaler(
            device=optim_wrapper.optimizer.param_groups[0]["params"][0].device.type,
            init_scale=old.get_scale(),
            growth_factor=old.get_growth_factor(),
            backoff_factor=old.get_backoff_factor(),
            growth_interval=old.get_growth_interval(),
        )


def check_elementwise(optimizer: Optimizer) -> None:
    """Require an optimizer that does the same to a tensor and to its parts.

    Another of its kind takes two steps on a small tensor, and on the two halves apart.

    Raises:
        ValueError: If it does not, as those that look at a layer's norm (LARS, LAMB).
    """
    generator = torch.Generator().manual_seed(0)
    value, gradient = (torch.randn(4, 6, generator=generator) for _ in range(2))
    value[2:] *= 100  # What looks at norms finds others in the halves.
    for group in optimizer.param_groups:
        try:
            whole = _two_steps(optimizer, group, value, gradient)
            halves = [
                _two_steps(optimizer, group, value[rows], gradient[rows])
                for rows in (slice(0, 2), slice(2, 4))
            ]
        except Exception as error:
            # One that wants something besides gradients.
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(_refusal(optimizer, reason)) from error
        if not torch.allclose(whole, torch.cat(halves), rtol=1e-4):
            reason = "it treats a tensor otherwise than its two halves"
            raise ValueError(_refusal(optimizer, reason))


def _two_steps(
    optimizer: Optimizer, group: dict[str, Any], value: Tensor, gradient: Tensor
) -> Tensor:
    device = group["params"][0].device
    parameter = nn.Parameter(value.to(device, copy=True))
    accepted = signature(type(optimizer)).parameters.keys() - {"params"}
    settings = {key: group[key] for key in accepted & group.keys()}
    if "lr" in settings:
        settings["lr"] = 0.1  # Not the nothing of a warm-up.
    probe = type(optimizer)([parameter], **settings)
    for _ in range(2):
        parameter.grad = gradient.to(device, copy=True)
        probe.step()
    return parameter.detach()


def _refusal(optimizer: Optimizer, reason: str) -> str:
    return (
        f"`optim_wrapper.optimizer` is {type(optimizer).__name__}, which cannot work "
        f"on shards: {reason}. Expected one that treats each element by itself, such "
        "as SGD or AdamW; or take `model_wrapper_cfg` out, for SIMTDataParallel."
    )
