"""How often a run validates."""

from collections.abc import Sequence
from typing import Any

from mmengine.runner.utils import calc_dynamic_intervals

_NEVER = (
    "To validate after the last iteration alone, give `train_cfg.max_iters`; never: "
    "val_cfg, val_dataloader and val_evaluator of None."
)


def validation_intervals(
    interval: int, later: Sequence[tuple[int, int]] | None
) -> tuple[list[int], list[int]]:
    """Return milestones and the interval after each, as MMEngine's loops have them.

    Args:
        interval: ``train_cfg.val_interval``.
        later: ``train_cfg.dynamic_intervals``, pairs of a milestone and the interval
            after it, or None.

    Raises:
        ValueError: If an interval is not 1 or more, or the pairs are not in order.
    """
    if not _is_whole(interval) or interval < 1:
        raise ValueError(
            f"`train_cfg.val_interval` is {interval!r}; expected a whole number of "
            f"iterations, at least 1. {_NEVER}"
        )
    pairs = [] if later is None else later
    last = 0
    for pair in pairs if isinstance(pairs, Sequence) else [pairs]:
        is_pair = isinstance(pair, Sequence) and len(pair) == 2
        if not is_pair or not all(map(_is_whole, pair)) or pair[1] < 1:
            raise ValueError(
                f"`train_cfg.dynamic_intervals` has {pair!r}; expected an iteration "
                "and the interval of validations after it, whole numbers such as "
                f"(8000, 500), the second at least 1. {_NEVER}"
            )
        if pair[0] < last:
            raise ValueError(
                f"`train_cfg.dynamic_intervals` has the iteration {pair[0]} after "
                f"{last}; expected iterations from 0 on in ascending order."
            )
        last = pair[0]
    return calc_dynamic_intervals(interval, [tuple(pair) for pair in pairs])


def check_iterations(key: str, value: Any, least: int) -> None:
    """Require a number of iterations.

    Args:
        key: The key in ``train_cfg``.
        value: Its value.
        least: The smallest number that may stand there.

    Raises:
        ValueError: If it is none.
    """
    if not _is_whole(value) or value < least:
        raise ValueError(
            f"`train_cfg.{key}` is {value!r}; expected a whole number of iterations, "
            f"at least {least}."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, float)) and float(value).is_integer()
