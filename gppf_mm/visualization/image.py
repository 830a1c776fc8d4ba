"""The image under a prediction."""

from typing import Any

import mmcv
import numpy as np
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn


def load_image(
    sample: BaseDataElement, tensor: Tensor, data_preprocessor: nn.Module | None = None
) -> np.ndarray:
    """Load the image of a data sample in its original size.

    Args:
        sample: The stock data sample.
        tensor: What the pipeline made of the image, of shape (3, H, W), for a data set
            whose images are no files.
        data_preprocessor: The stock model's, which knows the order of the tensor's
            channels. Defaults to None, RGB.

    Returns:
        The image, RGB, uint8, of shape (H, W, 3).
    """
    if sample.get("img_path"):
        return mmcv.imread(sample.img_path, channel_order="rgb")
    image = tensor.detach().cpu().numpy().transpose(1, 2, 0).astype(np.uint8)
    if _is_bgr(data_preprocessor):
        image = image[..., ::-1]
    height, width = sample.get("ori_shape") or image.shape[:2]
    return mmcv.imresize(np.ascontiguousarray(image), (width, height))


def enlarge(
    image: np.ndarray, sample: BaseDataElement, min_size: int
) -> tuple[np.ndarray, BaseDataElement]:
    """Enlarge a small image with its labels, so that what is written on it is legible.

    Args:
        image: The image, of shape (H, W, 3).
        sample: The stock data sample, on the CPU.
        min_size: The shorter side, in pixels, to reach by a whole factor.

    Returns:
        The image and a copy of the sample. Boxes and maps of classes are enlarged too;
        with other labels, such as masks of instances, both come back as they are.
    """
    factor = -(-min_size // min(image.shape[:2]))
    if factor <= 1 or not all(_can_scale(value) for value in sample.values()):
        return image, sample
    sample = sample.clone()
    for name, value in sample.items():
        if isinstance(value, InstanceData):
            value = value.clone()  # That of the sample is shallow.
            value.bboxes = getattr(value.bboxes, "tensor", value.bboxes) * factor
            setattr(sample, name, value)
        elif isinstance(value, PixelData):
            setattr(sample, name, _enlarge_pixels(value, factor))
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return mmcv.imresize(image, size, interpolation="bicubic"), sample


def _can_scale(value: Any) -> bool:
    if isinstance(value, InstanceData):
        return "bboxes" in value and "masks" not in value
    return True


def _enlarge_pixels(value: PixelData, factor: int) -> PixelData:
    maps = {
        name: item.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        for name, item in value.items()
    }
    return PixelData(metainfo=value.metainfo, **maps)


def _is_bgr(data_preprocessor: nn.Module | None) -> bool:
    """Tell whether the model swaps the channels, under each library's name for it."""
    names = ("_channel_conversion", "channel_conversion", "to_rgb")
    return any(getattr(data_preprocessor, name, False) for name in names)
