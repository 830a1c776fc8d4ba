"""Features and labels of a batch, as rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BACKGROUND = -1
_IGNORED = 255
_CELLS = 8  # Of each class in each image, so that large areas do not outweigh all.


class Rows(NamedTuple):
    """Places in an image.

    Attributes:
        features: Of shape (M, C).
        labels: The classes of each: one, or any number where an image has several.
    """

    features: Tensor
    labels: list[tuple[int, ...]]


def rows_of(
    maps: Tensor, sample: Any, size: tuple[int, int], generator: torch.Generator
) -> Rows:
    """Pair an image's features with its labels.

    A classified image is one row, pooled over the image. Of an image with boxes or a
    mask, cells of the feature map are rows: a cell has the class that most of its
    pixels have, or that of the smallest box which holds its centre, else background;
    the cell at a box's centre has that box's class too. At most 8 cells of a class are
    drawn from an image.

    Args:
        maps: Features of shape (C, h, w), or (C,) of a classified image.
        sample: The stock data sample, as the stock data preprocessor leaves it.
        size: Height and width of the padded image, in pixels.
        generator: Draws the cells.

    Raises:
        ValueError: If the sample has no labels of these kinds.
    """
    if "gt_label" in sample:
        pooled = maps.flatten(1).mean(1) if maps.dim() == 3 else maps
        return Rows(pooled[None], [tuple(sample.gt_label.tolist())])
    if maps.dim() == 3 and "gt_sem_seg" in sample:
        cells = _mask_cells(sample.gt_sem_seg.data[0], maps.shape[1:])
    elif maps.dim() == 3 and "gt_instances" in sample:
        cells = _box_cells(sample, maps.shape[1:], size)
    else:
        raise ValueError(
            f"A sample of the new set ({type(sample).__name__}) with features of shape "
            f"{tuple(maps.shape)} has none of `gt_label`, `gt_sem_seg` and "
            "`gt_instances` that a probe could use; expected a classifier, a segmentor "
            "or a detector, and the loader of its training."
        )
    chosen = _draw(cells.flatten(), generator)
    labels: list[tuple[int, ...]]
    labels = [(int(label),) for label in cells.flatten()[chosen]]
    return Rows(maps.flatten(1).T[chosen], labels)


def _mask_cells(mask: Tensor, shape: Sequence[int]) -> Tensor:
    """Return each cell's most frequent class, 255 where most pixels are ignored."""
    classes = torch.unique(mask)
    shares = torch.stack(
        [F.adaptive_avg_pool2d((mask == c)[None].float(), shape)[0] for c in classes]
    )
    return classes[shares.argmax(0)].long()


def _box_cells(sample: Any, shape: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Return each cell's class, 255 in the padding."""
    boxes, labels = sample.gt_instances.bboxes, sample.gt_instances.labels
    boxes = getattr(boxes, "tensor", boxes)
    strides = [pixels / number for pixels, number in zip(size, shape, strict=True)]
    y, x = (
        (torch.arange(number, device=boxes.device) + 0.5) * stride
        for number, stride in zip(shape, strides, strict=True)
    )
    cells = torch.full(tuple(shape), BACKGROUND, device=boxes.device)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for index in areas.argsort(descending=True).tolist():
        left, top, right, bottom = boxes[index].tolist()
        inside = ((y >= top) & (y <= bottom))[:, None] & (x >= left) & (x <= right)
        cells[inside] = labels[index]
        row = min(int((top + bottom) / 2 / strides[0]), shape[0] - 1)
        column = min(int((left + right) / 2 / strides[1]), shape[1] - 1)
        cells[row, column] = labels[index]
    height, width = sample.img_shape[:2]
    cells[y > height] = _IGNORED
    cells[:, x > width] = _IGNORED
    return cells


def _draw(cells: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(len(cells), generator=generator)
    cells = cells.cpu()[order]
    classes = [c for c in torch.unique(cells).tolist() if c != _IGNORED]
    return torch.cat([order[cells == c][:_CELLS] for c in classes] or [order[:0]])
