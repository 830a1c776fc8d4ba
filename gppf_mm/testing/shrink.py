"""A recipe's model, small enough for a check."""

from collections.abc import Mapping, Sequence
from typing import Any

from gppf_mm.utils.walk import DROP, find_values, rewrite

_CAPS = dict(nms_pre=100, num=32)
_MAX_PROPOSALS = 20
_SMALL = 64
_STEPS = dict(mmdet=(64, 128, 256), mmseg=(64, 128), mmpretrain=(64,))


def shrink(model: Mapping[str, Any], size: int, set_img_size: bool) -> dict[str, Any]:
    """Copy a stock model's config with what depends on the images' size made small.

    Padding to a fixed size and batch augmentations are left out, numbers of samples and
    of proposals are capped, and no detection is dropped for a low score, since an
    untrained model has no others. The layers stay as they are.

    Args:
        model: The stock model's config.
        size: Height and width of the images, in pixels.
        set_img_size: Whether layers that are built for an ``img_size`` get this one.

    Returns:
        The config.
    """

    def geometry(key: str, value: Any) -> Any:
        if key == "batch_augments":
            return DROP
        if key == "img_size" and set_img_size:
            return size if isinstance(value, int) else (size, size)
        return value

    small = rewrite(model, geometry)
    for key in ("train_cfg", "test_cfg"):
        if key in small:
            small[key] = rewrite(small[key], _cap)
    preprocessor = small.get("data_preprocessor")
    if isinstance(preprocessor, dict) and preprocessor.get("size"):
        preprocessor["size"] = (size, size)
    return small


def _cap(key: str, value: Any) -> Any:
    if key in ("rpn", "rpn_proposal") and value and "max_per_img" in value:
        return {**value, "max_per_img": min(value["max_per_img"], _MAX_PROPOSALS)}
    if key in _CAPS and isinstance(value, int):
        return min(value, _CAPS[key])
    return 0.0 if key == "score_thr" and isinstance(value, float) else value


def image_sizes(
    scope: str, kind: str, model: Mapping[str, Any], pipeline: Sequence[Any]
) -> list[tuple[int, bool]]:
    """List the sizes to try, the cheapest first.

    Args:
        scope: The library.
        kind: What the model is for, see `recipe_kind`.
        model: The stock model's config.
        pipeline: The training pipeline, which knows the recipe's own size.

    Returns:
        Pairs of a size in pixels and whether the model's ``img_size`` becomes it.
    """
    fixed = [_edge(value) for value in find_values(model, "input_size") if value]
    own = _own_size(scope, model, pipeline)
    if fixed or kind == "self-supervised" or own <= _SMALL:
        return [(fixed[0] if fixed else own, False)]
    sizes = [(size, False) for size in _STEPS.get(scope, (_SMALL,)) if size < own]
    if any(find_values(model, "img_size")):
        patch = [_edge(value) for value in find_values(model, "patch_size") if value]
        divides = not patch or _SMALL % patch[0] == 0
        sizes.insert(1, (_SMALL if divides else 4 * patch[0], True))
    return [*sizes, (own, False)]


def _own_size(scope: str, model: Mapping[str, Any], pipeline: Sequence[Any]) -> int:
    sizes = [
        *find_values(model.get("backbone") or {}, "img_size"),
        *find_values(model.get("data_preprocessor") or {}, "size"),
        *find_values(pipeline, "crop_size"),
        *(find_values(pipeline, "scale") if scope == "mmpretrain" else ()),
    ]
    edges = [_edge(size) for size in sizes if size and _edge(size)]
    return min(edges[0] if edges else 224 if scope == "mmpretrain" else 512, 640)


def _edge(size: Any) -> int:
    """Return the longer edge of a size; 0 where it is a ratio or a range of scales."""
    edges = size if isinstance(size, (list, tuple)) else (size,)
    return max((edge for edge in edges if isinstance(edge, int)), default=0)
