"""Clipping of each task's gradients by themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from gppf_mm.utils.messages import check_names, is_number

from .gradients import Row
from .products import InnerProducts

_WHERE = "model.clip_grad_per_task"


class TaskClip:
    """Scales a task's gradients down to a largest norm.

    So no task outweighs the others by one bad batch, which clipping of the sum does not
    prevent.

    Args:
        max_norm: The largest norm of a task's gradients, on the shared parameters and
            on its own together.
        norm_type: The norm's order. Defaults to 2.
    """

    def __init__(self, max_norm: float, norm_type: float = 2.0) -> None:
        for key, value in (("max_norm", max_norm), ("norm_type", norm_type)):
            if not is_number(value) or not value > 0:
                raise ValueError(
                    f"`{_WHERE}.{key}` is {value!r}; expected a number above 0."
                )
        self.max_norm = max_norm
        self.norm_type = norm_type

    def clip(
        self, row: Row, own: Sequence[Tensor], scale: float, inner: InnerProducts
    ) -> None:
        """Clip a task's gradients in place.

        Args:
            row: Those on shared parameters.
            own: Those on its own.
            scale: By this factor, that of a loss scaler, they are too large.
            inner: Takes norms.
        """
        if not row and not own:
            return
        norm = inner.norm(row, own, self.norm_type) / scale
        # The epsilon of `torch.nn.utils.clip_grad_norm_`.
        factor = (self.max_norm / (norm + 1e-6)).clamp(max=1.0)
        for gradient in (*row.values(), *own):
            gradient.mul_(factor)


def build_task_clip(cfg: Mapping[str, Any] | None) -> TaskClip | None:
    """Build what ``model.clip_grad_per_task`` says.

    Args:
        cfg: ``max_norm`` and optionally ``norm_type``, or None for no clipping.

    Raises:
        ValueError: If a key is unknown or missing, or a value is no number above 0.
    """
    if cfg is None:
        return None
    if not isinstance(cfg, Mapping) or "max_norm" not in cfg:
        raise ValueError(
            f"`{_WHERE}` is {cfg!r}; expected a dict with the key `max_norm`, such as "
            "dict(max_norm=1.0), or None."
        )
    check_names(_WHERE, cfg, ("max_norm", "norm_type"))
    return TaskClip(**cfg)
