"""A stock model without its pretrained weights."""

from collections.abc import Mapping
from typing import Any

from .class_name import class_name
from .walk import DROP, rewrite


def without_weights(model: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a stock model's config so that building it downloads nothing.

    Args:
        model: The stock model's config.

    Returns:
        The config with first values as for training from scratch.
    """
    return rewrite(model, _no_weights)


def _no_weights(key: str, value: Any) -> Any:
    if key in ("pretrained", "teacher_ckpt") and isinstance(value, str):
        return None
    if key == "pretrained" and value is True:  # timm's
        return False
    if key != "init_cfg" or not value:
        return value
    many = isinstance(value, (list, tuple))
    kept = [
        item
        for item in (value if many else [value])
        # PVT v2 names a checkpoint without a type.
        if class_name(item.get("type")) != "Pretrained" and "checkpoint" not in item
    ]
    if not kept:
        return DROP
    return kept if many else kept[0]
