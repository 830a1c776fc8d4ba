"""A task's ``cfg_options``: what of a recipe they can change, and how."""

from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

# What of a recipe goes along, besides its rules for the optimizer.
_TAKEN_KEYS = (
    "model",
    "data_preprocessor",
    "train_dataloader",
    "val_dataloader",
    "val_evaluator",
    "val_cfg",
    "test_dataloader",
    "test_evaluator",
    "test_cfg",
    "visualizer",
    "custom_hooks",
    "custom_imports",
)
_TAKEN_RULES = ("constructor", "paramwise_cfg")
_PREPROCESSOR = "data_preprocessor"


def flatten(options: Mapping[str, Any]) -> dict[str, Any]:
    """Write overrides as one value for each dotted key.

    A dict stands for its entries, as it is merged, and the later of two values for
    one key counts. A dict with ``_delete_``, which takes the place of what was there,
    stays whole, and so does one with dots in its keys, such as ``custom_keys``. What
    stands beside a model as its preprocessor is the model's.

    Args:
        options: Values by dotted key, dicts among them as ``--cfg-options`` makes them.

    Returns:
        The overrides, those of a whole before those of its parts.

    Examples:
        >>> flatten({"model.head.topk": (1,), "model": dict(head=dict(topk=(5,)))})
        {'model.head.topk': (5,)}
    """
    flat: dict[str, Any] = {}
    for key, value in options.items():
        for inner, item in _leaves(key, value).items():
            if inner.partition(".")[0] == _PREPROCESSOR:
                inner = f"model.{inner}"
            flat.pop(inner, None)
            flat[inner] = item
    return dict(sorted(flat.items(), key=lambda item: item[0].count(".")))


def _leaves(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value or "_delete_" in value:
        return {key: value}
    if not all(isinstance(inner, str) and "." not in inner for inner in value):
        return {key: value}
    leaves: dict[str, Any] = {}
    for inner, item in value.items():
        leaves |= _leaves(f"{key}.{inner}", item)
    return leaves


def merge_overrides(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge overrides into a config in place.

    Args:
        cfg: The config.
        options: The overrides, as `flatten` returns them.

    Raises:
        Exception: What MMEngine raises of a key or an index that does not fit.
    """
    # One by one, since MMEngine drops one of two keys that overlap.
    for key, value in options.items():
        cfg.merge_from_dict({key: deepcopy(value)})
    _drop_marks(list(cfg.values()))


def _drop_marks(value: Any) -> None:
    """Remove ``_delete_`` where MMEngine leaves it: there was nothing to delete."""
    if isinstance(value, dict):
        value.pop("_delete_", None)
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            _drop_marks(item)


def check_overrides(where: str, options: Mapping[str, Any]) -> None:
    """Refuse to change what does not go along, which would change nothing.

    Args:
        where: The task's key, such as ``tasks.coco``.
        options: Its overrides, as `flatten` returns them.

    Raises:
        ValueError: If one is for another part of the recipe.
    """
    for key, value in options.items():
        first, _, rest = key.partition(".")
        taken = first in _TAKEN_KEYS
        if first == "optim_wrapper":
            taken = rest.partition(".")[0] in _TAKEN_RULES
        if first == "default_scope":
            raise ValueError(
                f"`{where}.cfg_options` has 'default_scope'; `{where}.scope` sets it."
            )
        if first in ("val_cfg", "test_cfg"):
            _check_loop(where, first, rest, value)
        if not taken:
            close = get_close_matches(first, _TAKEN_KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"`{where}.cfg_options` has {key!r}, which changes nothing: of a "
                f"recipe, {', '.join(_TAKEN_KEYS)} and the optimizer's rules go "
                "along, and the run has one optimizer, schedule and loop, which stand "
                f"in the multi-task config itself.{hint}"
            )


def _check_loop(where: str, loop: str, key: str, value: Any) -> None:
    """Refuse what a stock loop would take and the run's loop does not get."""
    keys = [key] if key else list(value) if isinstance(value, Mapping) else []
    unused = [item for item in keys if item not in ("type", "_delete_")]
    if unused:
        raise ValueError(
            f"`{where}.cfg_options` has '{loop}.{unused[0]}', which changes nothing: "
            f"of a recipe's `{loop}` only `type` counts, since the run evaluates all "
            f"tasks in one loop. Set `{loop}` of the multi-task config itself, as "
            f"{loop}=dict(fp16=True)."
        )
