"""When two recipes are the same model to a check."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.walk import DROP, rewrite

from .kinds import recipe_kind

# Data, schedule or first values: none of them changes which code runs on which shapes
# between the bank and the heads.
_DROPPED = (
    "_scope_",
    "init_cfg",
    "pretrained",
    "teacher_ckpt",
    "class_weight",
    "mean",
    "std",
    "pad_val",
    "seg_pad_val",
    "size",
    "size_divisor",
    "batch_augments",
    "bgr_to_rgb",
    "rgb_to_bgr",
    "to_rgb",
    "crop_size",
    "align_corners",
    "loss_weight",
    "prototype",
)
_COUNTS = ("num_classes", "num_things_classes", "num_stuff_classes")


def model_signature(scope: str, model: Mapping[str, Any]) -> str:
    """Identify recipes whose models differ in data and schedule alone.

    Normalised away: first values and pretrained weights, numbers of classes and their
    weights, the normalisation, padding and augmentation of images, loss weights, how
    maps of logits are aligned when they are resized, and mmseg's sliding windows.
    Everything else counts: types, depths, widths, strides, dilations, norms, frozen
    stages, samplers and assigners.

    Args:
        scope: The library.
        model: The stock model's config.

    Returns:
        A short hash, equal for recipes that need to be checked once.
    """
    kind = recipe_kind(scope, model)
    plain = rewrite(model, _normalise)
    plain.pop("test_cfg", None) if scope == "mmseg" else None
    text = json.dumps([scope, kind, plain], sort_keys=True, default=class_name)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _normalise(key: str, value: Any) -> Any:
    if key in _DROPPED:
        return DROP
    if key in _COUNTS:
        return bool(value)
    return value
