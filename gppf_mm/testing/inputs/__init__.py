"""Random images with labels, in each library's own data structures."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.walk import find_values

from .common import BATCH_SIZE, InputSpec

__all__ = ["BATCH_SIZE", "InputSpec", "random_batch"]


def random_batch(scope: str, kind: str, cfg: Config, size: int, seed: int) -> dict:
    """Make a batch of two labelled images, as a recipe's stock loader would yield it.

    Args:
        scope: The library.
        kind: What the model is for, see `gppf_mm.testing.recipe_kind`.
        cfg: The stock config.
        size: Height and width of the images, in pixels.
        seed: Seed of images and labels.

    Returns:
        ``inputs`` and ``data_samples``.
    """
    spec = InputSpec(cfg.model, size, seed)
    if scope == "mmseg":
        from .segmentation import segmentation_batch

        return segmentation_batch(spec)
    if kind == "self-supervised":
        from .self_supervised import self_supervised_batch

        return self_supervised_batch(spec, _pipeline(cfg))
    if kind == "classification" or scope == "mmpretrain":
        from .classification import classification_batch

        return classification_batch(spec)
    from .detection import detection_batch

    return detection_batch(spec, with_masks=kind != "detection")


def _pipeline(cfg: Mapping[str, Any]) -> list:
    return next(find_values(cfg.get("train_dataloader") or {}, "pipeline"), [])
