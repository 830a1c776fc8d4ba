"""What of a recipe a task's ``cfg_options`` can change."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

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


def check_overrides(where: str, options: Mapping[str, Any]) -> None:
    """Refuse to change what does not go along, which would change nothing.

    Args:
        where: The task's key, such as ``tasks.coco``.
        options: Its ``cfg_options``.

    Raises:
        ValueError: If one is for another part of the recipe.
    """
    for key in _with_rules_apart(options):
        first, _, rest = key.partition(".")
        taken = first in _TAKEN_KEYS
        if first == "optim_wrapper":
            taken = rest.partition(".")[0] in _TAKEN_RULES
        if first == "default_scope":
            raise ValueError(
                f"`{where}.cfg_options` has 'default_scope'; `{where}.scope` sets it."
            )
        if not taken:
            close = get_close_matches(first, _TAKEN_KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"`{where}.cfg_options` has {key!r}, which changes nothing: of a "
                f"recipe, {', '.join(_TAKEN_KEYS)} and the optimizer's rules go "
                "along, and the run has one optimizer, schedule and loop, which stand "
                f"in the multi-task config itself.{hint}"
            )


def _with_rules_apart(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys, those of an optimizer wrapper that is given as a dict too."""
    for key, value in options.items():
        if key == "optim_wrapper" and isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key
