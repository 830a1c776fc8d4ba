"""The size of a task's images, from its recipe."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from gppf_mm.registry import DATASETS
from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import describe

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
# Their `RandomCrop`, not mmdet's, takes (height, width).
_HEIGHT_FIRST = ("mmpretrain", "mmseg")


def find_image_shape(cfg: Config, task: str) -> tuple[int, int]:
    """Find the size to which a task's recipe brings its test images.

    A resize that keeps the ratio brings images into a box; the box, lying, is the size.

    Args:
        cfg: The multi-task config.
        task: The task.

    Returns:
        Height and width in pixels, before the data preprocessor pads: those of the test
        or the validation pipeline, else of the first image of the test set, if it is
        there, else of the training pipeline.

    Raises:
        ValueError: If no pipeline sets a size and there is no test set.
    """
    *evaluation, training = (_pipeline_shape(cfg, task, key) for key in _LOADERS)
    shape = next(filter(None, evaluation), None)
    if shape is not None:
        return shape
    try:
        return _first_image((cfg.get("test_dataloader") or {})[task])
    except (AssertionError, KeyError, OSError) as error:
        # Some of mmseg's sets assert that their files are there.
        if training is not None:
            return training
        raise ValueError(
            f"The pipelines of task {task!r} set no image size (looked for "
            f"{', '.join(_SIZES)} in {', '.join(_LOADERS)}), and its test set cannot "
            f"be read ({describe(error)}). Name a size, --shape HEIGHT WIDTH, or "
            "prepare the data."
        ) from error


def _first_image(loader: Mapping[str, Any]) -> tuple[int, int]:
    dataset = deepcopy(loader["dataset"])
    with DefaultScope.overwrite_default_scope(loader.get("_scope_", "gppf_mm")):
        height, width = DATASETS.build(dataset)[0]["inputs"].shape[-2:]
    return height, width


def _pipeline_shape(cfg: Config, task: str, key: str) -> tuple[int, int] | None:
    loader = (cfg.get(key) or {}).get(task) or {}
    pipeline = next(_pipelines(loader), ())
    return _last_shape(pipeline, loader.get("_scope_", ""))


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


def _last_shape(pipeline: Sequence[Any], scope: str) -> tuple[int, int] | None:
    shape = None
    for transform in pipeline:
        if isinstance(transform, Mapping):
            shape = _shape(transform, scope) or shape
    return shape


def _shape(transform: Mapping[str, Any], scope: str) -> tuple[int, int] | None:
    kind = transform.get("type")
    size = transform.get(_SIZES.get(class_name(kind), ""))
    if isinstance(size, int):
        return size, size
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        return None
    if not all(isinstance(edge, int) for edge in size):
        return None  # Ratios, or several scales to choose from.
    width, height = size
    if class_name(kind) == "RandomCrop" and _library(kind, scope) in _HEIGHT_FIRST:
        height, width = size
    if transform.get("keep_ratio"):
        width, height = max(size), min(size)
    return height, width


def _library(kind: Any, scope: str) -> str:
    """Return a transform's library, that of its pipeline unless it names another."""
    if isinstance(kind, str):
        return kind.rpartition(".")[0] or scope
    return str(kind.__module__).partition(".")[0]
