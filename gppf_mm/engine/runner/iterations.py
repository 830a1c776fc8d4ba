"""Keeping a run of iterations free of what counts epochs.

The whole of a SIMT run is one epoch. MMEngine's hooks and schedulers count epochs
unless they are told otherwise, and would wait for the end of the run in silence.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import _ParamScheduler
from mmengine.runner import BaseLoop, LogProcessor

from gppf_mm.utils.class_name import class_name

Hooks = Mapping[str, Hook | dict[str, Any] | None]
_FLAGS = dict(logger="log_metric_by_epoch", checkpoint="by_epoch")
_DEFAULTS: dict[str, dict[str, Any]] = dict(
    logger=dict(type="LoggerHook"),
    # As often as `SIMTTrainLoop` validates by default (our choice).
    checkpoint=dict(type="CheckpointHook", interval=1000),
)
# What a stock schedule in `_base_` names, and what takes its place.
_STOCK_LOOPS = ("EpochBasedTrainLoop", "IterBasedTrainLoop", "ValLoop", "TestLoop")
_LOOPS = dict(
    train_cfg="SIMTTrainLoop", val_cfg="MultiTaskValLoop", test_cfg="MultiTaskTestLoop"
)


def count_iterations(hooks: Hooks | None) -> dict[str, Any]:
    """Let logger and checkpoint hook count iterations unless they are told otherwise.

    Args:
        hooks: ``default_hooks`` of a config.

    Returns:
        The same with these two.

    Raises:
        ValueError: If one of them is to count epochs.
    """
    found: dict[str, Any] = {**_DEFAULTS, **(hooks or {})}
    for name, flag in _FLAGS.items():
        hook = found[name]
        kind = hook.get("type") if isinstance(hook, Mapping) else None
        if class_name(kind) != _DEFAULTS[name]["type"]:
            continue  # None, for no such hook; one that is built, or of one's own.
        if hook.get(flag, False):
            raise ValueError(
                f"`default_hooks.{name}.{flag}` is {hook[flag]!r}, but the whole of a "
                "multi-task run is one epoch, for its tasks have epochs of different "
                "lengths. Expected False, and intervals in iterations."
            )
        found[name] = {**hook, flag: False}
    return found


def check_loop(key: str, loop: BaseLoop | Mapping[str, Any]) -> None:
    """Refuse a loop that counts epochs, or that knows a single task.

    Args:
        key: ``train_cfg``, ``val_cfg`` or ``test_cfg``.
        loop: What a config has there.

    Raises:
        ValueError: If it does.
    """
    if not isinstance(loop, Mapping):
        return
    name = class_name(loop.get("type"))
    if name in _STOCK_LOOPS:
        raise ValueError(
            f"`{key}.type` is {name!r}, a loop over the batches of a single task; "
            f"expected no `type`, or 'gppf_mm.{_LOOPS[key]}'."
        )
    if key == "train_cfg":
        _check_units(loop)


def _check_units(loop: Mapping[str, Any]) -> None:
    """Refuse a training that is measured in epochs."""
    for key in ("max_epochs", "by_epoch"):
        if loop.get(key):
            raise ValueError(
                f"`train_cfg.{key}` is {loop[key]!r}, but the whole of a multi-task "
                "run is one epoch, for its tasks have epochs of different lengths. "
                "Take it out, and give `max_iters` and `val_interval` in iterations."
            )


def check_log_processor(log_processor: LogProcessor) -> None:
    """Refuse to log what a run does not count.

    Args:
        log_processor: That of the run.

    Raises:
        ValueError: If it logs epochs.
    """
    if log_processor.by_epoch:
        raise ValueError(
            "`log_processor.by_epoch` is True, but the whole of a multi-task run is "
            "one epoch, for its tasks have epochs of different lengths. Expected "
            "False, for a log that tells iterations."
        )


def check_schedulers(
    schedulers: list[_ParamScheduler] | dict[str, list[_ParamScheduler]],
) -> None:
    """Refuse schedulers that would take one step in the whole run.

    Args:
        schedulers: Those of the run, or of each of several optimizers.

    Raises:
        ValueError: If one counts epochs and not validations or iterations.
    """
    groups: Iterable[list[_ParamScheduler]] = (
        schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    )
    for scheduler in (item for group in groups for item in group):
        # What looks at a metric takes its steps at validations.
        if scheduler.by_epoch and not getattr(scheduler, "need_val_args", False):
            raise ValueError(
                f"`param_scheduler` has a {type(scheduler).__name__} that counts "
                "epochs, but the whole of a multi-task run is one epoch, for its "
                "tasks have epochs of different lengths. Give it by_epoch=False, and "
                "`begin`, `end` and the like in iterations."
            )
