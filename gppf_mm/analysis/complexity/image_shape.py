"""The size of a task's images, from its recipe."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

_LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")
# What gives an image its size, and under which key, as (width, height).
_SIZES = dict(
    Resize="scale",
    ResizeEdge="scale",
    CenterCrop="crop_size",
    EfficientNetCenterCrop="crop_size",
    Pad="size",
    # Of training pipelines: where images have one size, tests need not set it.
    RandomCrop="crop_size",
    RandomResizedCrop="scale",
)


def find_image_shape(cfg: Config, task: str) -> tuple[int, int]:
    """Find the size to which a task's recipe brings its test images.

    A resize that keeps the ratio brings images into a box; the box, lying, is the size.

    Args:
        cfg: The multi-task config.
        task: The task.

    Returns:
        Height and width in pixels: those of the test pipeline, else of the validation
        or the training pipeline, before the data preprocessor pads.

    Raises:
        ValueError: If no pipeline sets a size.
    """
    for key in _LOADERS:
        pipeline = next(_pipelines((cfg.get(key) or {}).get(task)), ())
        shape = _last_shape(pipeline)
        if shape is not None:
            return shape
    raise ValueError(
        f"The pipelines of task {task!r} set no image size (looked for "
        f"{', '.join(name for name in _SIZES)} in {', '.join(_LOADERS)}); name one: "
        "--shape HEIGHT WIDTH."
    )


def _pipelines(cfg: Any) -> Iterator[Sequence[Any]]:
    """Yield the pipelines anywhere in a loader's config, wrapped data sets' too."""
    if isinstance(cfg, Mapping):
        for key, value in cfg.items():
            if key == "pipeline" and isinstance(value, (list, tuple)):
                yield value
            else:
                yield from _pipelines(value)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _pipelines(value)


def _last_shape(pipeline: Sequence[Any]) -> tuple[int, int] | None:
    shape = None
    for transform in pipeline:
        if isinstance(transform, Mapping):
            shape = _shape(transform) or shape
    return shape


def _shape(transform: Mapping[str, Any]) -> tuple[int, int] | None:
    kind = transform.get("type")
    name = str(getattr(kind, "__name__", kind)).rpartition(".")[2]
    size = transform.get(_SIZES.get(name, ""))
    if isinstance(size, int):
        return size, size
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        return None
    if not all(isinstance(edge, int) for edge in size):
        return None  # Ratios, or several scales to choose from.
    width, height = size
    if transform.get("keep_ratio"):
        width, height = max(size), min(size)
    return height, width
