"""Images with objects: boxes, masks, proposals and a map of the stuff."""

from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from gppf_mm.utils.walk import find_values

from .common import BATCH_SIZE, InputSpec

_OBJECTS = 3


def detection_batch(spec: InputSpec, with_masks: bool) -> dict[str, list]:
    """Make a batch that any detector of mmdet can learn from.

    Each sample has boxes, proposals where the model makes none and, where it learns
    stuff, a semantic map.

    Args:
        spec: What the model asks for.
        with_masks: Whether objects have masks, which some detectors do not suffer.

    Returns:
        ``inputs`` and ``data_samples`` (``DetDataSample``).
    """
    from mmdet.structures import DetDataSample

    samples = []
    for _ in range(BATCH_SIZE):
        border = np.array([0, spec.size, 0, spec.size], dtype=np.float32)
        # CenterNet and CornerNet subtract the border that their tests add.
        sample = DetDataSample(metainfo=dict(spec.meta(), border=border))
        sample.gt_instances = _objects(spec, _OBJECTS, with_masks)
        sample.ignored_instances = _objects(spec, 0, with_masks)
        if "rpn_head" not in spec.model:
            # Only where they must come from outside: they would replace a model's own.
            sample.proposals = InstanceData(
                bboxes=_boxes(spec, 10), scores=spec.uniform(10)
            )
        stuff = _stuff(spec)
        if stuff is not None:
            sample.gt_sem_seg = stuff
        samples.append(sample)
    return dict(inputs=spec.images(), data_samples=samples)


def _objects(spec: InputSpec, number: int, with_masks: bool) -> InstanceData:
    boxes = _boxes(spec, number)
    labels = spec.integers(spec.num_classes, (number,))
    objects = InstanceData(bboxes=boxes, labels=labels)
    if with_masks:
        objects.masks = _masks(boxes, spec.size)
    return objects


def _boxes(spec: InputSpec, number: int) -> Tensor:
    corner = spec.uniform(number, 2) * spec.size * 0.4
    extent = (0.25 + 0.3 * spec.uniform(number, 2)) * spec.size
    return torch.cat([corner, corner + extent], dim=1)


def _masks(boxes: Tensor, size: int) -> Any:
    from mmdet.structures.mask import BitmapMasks

    masks = np.zeros((len(boxes), size, size), dtype=np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int(), strict=True):
        mask[top:bottom, left:right] = 1
    return BitmapMasks(masks, size, size)


def _stuff(spec: InputSpec) -> PixelData | None:
    things = sum(_counts(spec.model, "num_things_classes")[:1])
    stuff = sum(_counts(spec.model, "num_stuff_classes")[:1])
    size = spec.size
    if not stuff:
        head = next(find_values(spec.model, "semantic_head"), None)
        if not head:
            return None
        # HTC and its kin learn from a map of an eighth of the image's size.
        things, stuff, size = 0, head.get("num_classes", 2), size // 8
    return PixelData(sem_seg=spec.patches(things + stuff, size)[None])


def _counts(model: Any, key: str) -> list[int]:
    return [count for count in find_values(model, key) if isinstance(count, int)]
