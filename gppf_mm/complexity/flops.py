"""FLOPs of one image."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def image_input(
    model: nn.Module, shape: tuple[int, int], channels: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Make one random image, as a stock model's test would hand it on.

    Args:
        model: The stock model. Its data preprocessor pads and normalises the image.
        shape: Height and width in pixels.
        channels: The image's channels. Defaults to 3.
        seed: Seed of the image. Defaults to 0.

    Returns:
        The arguments of the model's ``forward``, but for the mode.
    """
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (channels, *shape), generator=generator)
    # What detectors ask of a sample before they predict.
    sample = BaseDataElement(
        metainfo=dict(
            img_id=0,
            img_shape=shape,
            ori_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
    batch = dict(inputs=[image.to(torch.uint8)], data_samples=[sample])
    return model.data_preprocessor(batch, False)


@torch.no_grad()
def count_flops(model: nn.Module, data: Mapping[str, Any]) -> int:
    """Count the FLOPs of a stock model's forward pass, in evaluation.

    PyTorch's ``FlopCounterMode`` counts convolutions, matrix products and attention, a
    multiply-add as two; elementwise operations, normalisation and MMCV's own operators
    count nothing. The pass is the stock ``forward`` in ``'tensor'`` mode, that is
    without post-processing.

    Args:
        model: The stock model, whole. It is left in evaluation mode.
        data: What `image_input` returned.

    Returns:
        The FLOPs of the batch.
    """
    model.eval()
    counter = FlopCounterMode(display=False)
    # The counter knows no formula for the fused attention of the CPU; this one is
    # made of matrix products.
    with sdpa_kernel(SDPBackend.MATH), counter:
        model(**data, mode="tensor")
    return counter.get_total_flops()
