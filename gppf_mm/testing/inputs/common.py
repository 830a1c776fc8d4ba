"""What the batches of all libraries have in common."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gppf_mm.utils.walk import find_values

BATCH_SIZE = 2  # Two, since batch normalisation cannot train on one 1x1 map.
_NOT_OBJECTS = ("rpn_head", "semantic_head", "data_preprocessor", "query_head_rpn")


class InputSpec:
    """What a model's config asks of its inputs, and a source of random numbers.

    Attributes:
        model: The stock model's config.
        size: Height and width of the images, in pixels.
        generator: The source of random numbers.

    Args:
        model: The stock model's config.
        size: Height and width of the images, in pixels.
        seed: Seed of the random numbers.
    """

    def __init__(self, model: Mapping[str, Any], size: int, seed: int) -> None:
        self.model = model
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def channels(self) -> int:
        """Channels of the images, as the normalisation has them."""
        mean = (self.model.get("data_preprocessor") or {}).get("mean")
        return len(mean) if mean else 3

    @property
    def num_classes(self) -> int:
        """The fewest classes that any head for objects has."""
        counts = [
            count
            for key in ("num_classes", "num_things_classes")
            for count in find_values(self.model, key, without=_NOT_OBJECTS)
            if isinstance(count, int) and count > 0
        ]
        return min(counts, default=2)

    def images(self, size: int | None = None) -> list[Tensor]:
        """Return images of shape (C, H, W) with values of 0 to 255.

        Args:
            size: Height and width in pixels. Defaults to None, that of the batch.
        """
        size = size or self.size
        shape = (self.channels, size, size)
        return [self.integers(256, shape).to(torch.uint8) for _ in range(BATCH_SIZE)]

    def integers(self, stop: int, shape: tuple[int, ...]) -> Tensor:
        """Return integers of 0 to ``stop - 1``."""
        return torch.randint(stop, shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers between 0 and 1."""
        return torch.rand(*shape, generator=self.generator)

    def patches(self, classes: int, size: int) -> Tensor:
        """Return a label map of shape (size, size) made of 4 x 4 plain patches."""
        coarse = self.integers(classes, (4, 4))
        index = torch.arange(size) * 4 // size
        return coarse[index][:, index]

    def meta(self) -> dict[str, Any]:
        """Return the image's metadata that test pipelines record."""
        shape = (self.size, self.size)
        return dict(
            img_id=0,
            img_path="random.jpg",
            img_shape=shape,
            ori_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
        )
