"""Views of images, with masks where a recipe has them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.walk import find_values

from .common import BATCH_SIZE, InputSpec

_TWO_PICTURES = "RandomResizedCropAndInterpolationWithTwoPic"


def self_supervised_batch(spec: InputSpec, pipeline: Sequence[Any]) -> dict[str, Any]:
    """Make a batch as the self-supervised recipes of mmpretrain collate it.

    Args:
        spec: What the model asks for.
        pipeline: The training pipeline: it says how many views there are, of what
            sizes, and makes the masks.

    Returns:
        ``inputs``, a tensor of shape (N, C, H, W) or a list of one for each view, and
        ``data_samples`` (``DataSample``).
    """
    from mmpretrain.structures import DataSample

    views = [torch.stack(spec.images(size)) for size in _view_sizes(spec, pipeline)]
    samples = []
    for _ in range(BATCH_SIZE):
        sample = DataSample(metainfo=spec.meta())
        # Their data sets have labels, although the models do not look at them.
        sample.set_gt_label(0)
        for mask in _masks(pipeline):
            sample.set_mask(mask)
        samples.append(sample)
    inputs: Tensor | list[Tensor] = views if len(views) > 1 else views[0]
    return dict(inputs=inputs, data_samples=samples)


def _transforms(pipeline: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for transform in pipeline:
        if isinstance(transform, Mapping):
            yield transform


def _view_sizes(spec: InputSpec, pipeline: Sequence[Any]) -> list[int]:
    for transform in _transforms(pipeline):
        name = class_name(transform.get("type"))
        if name == "MultiView":
            numbers = transform["num_views"]
            numbers = [numbers] if isinstance(numbers, int) else numbers
            return [
                _crop(inner, spec.size)
                for number, inner in zip(numbers, transform["transforms"], strict=True)
                for _ in range(number)
            ]
        if name == _TWO_PICTURES:
            second = transform.get("second_size")
            return [transform["size"], *([second] if second else [])]
    return [spec.size]


def _crop(pipeline: Any, default: int) -> int:
    found = [
        size
        for key in ("scale", "crop_size", "size")
        for size in find_values(pipeline, key)
    ]
    return next((size for size in found if isinstance(size, int)), default)


def _masks(pipeline: Sequence[Any]) -> Iterator[Any]:
    """Draw a mask from each of the recipe's own mask generators."""
    from mmpretrain.registry import TRANSFORMS

    for transform in _transforms(pipeline):
        if class_name(transform.get("type")).endswith("MaskGenerator"):
            yield TRANSFORMS.build(dict(transform)).transform({})["mask"]
