"""Reading and changing what may stand anywhere in a stock config."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def imported_modules(cfg: Mapping[str, Any] | None) -> list[str]:
    """Return the modules that a ``custom_imports`` names: one, several or none.

    Examples:
        >>> imported_modules(dict(imports="mmpretrain.models"))
        ['mmpretrain.models']
    """
    names = (cfg or {}).get("imports") or []
    return [names] if isinstance(names, str) else list(names)


def in_its_scope(cfg: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """Return a copy of a stock config that is resolved in its own library.

    Examples:
        >>> in_its_scope(dict(type="CocoMetric"), "mmdet")
        {'_scope_': 'mmdet', 'type': 'CocoMetric'}
    """
    return {"_scope_": scope, **deepcopy(dict(cfg))}


def torch_sync_bn(value: Any) -> Any:
    """Put PyTorch's SyncBN for MMCV's, which needs a process group to be built.

    Both compute the same and have the same parameters.

    Examples:
        >>> torch_sync_bn(dict(norm_cfg=dict(type="MMSyncBN", requires_grad=True)))
        {'norm_cfg': {'type': 'SyncBN', 'requires_grad': True}}
    """
    if isinstance(value, Mapping):
        value = {key: torch_sync_bn(item) for key, item in value.items()}
        return value | {"type": "SyncBN"} if value.get("type") == "MMSyncBN" else value
    if isinstance(value, (list, tuple)):
        return type(value)(torch_sync_bn(item) for item in value)
    return value


def move_data(cfg: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Put another folder in the place of a recipe's data roots.

    Args:
        cfg: The stock config.
        root: The folder.

    Returns:
        Its loaders and evaluators, in which every path that is a ``data_root`` of one
        of the loaders, or below one, leads to the folder; and its model, if that has a
        loader, as a retriever has for what it ranks.

    Raises:
        ValueError: If no loader has a ``data_root``.
    """
    keys = [key for key in cfg if key.endswith(("_dataloader", "_evaluator"))]
    model = cfg.get("model") or {}
    prototype = model.get("prototype")
    roots = set().union(*(_data_roots(cfg[key]) for key in keys))
    roots |= _data_roots(prototype)
    if not roots:
        raise ValueError(
            "no data set of the recipe has a `data_root` that it could replace. Set "
            "the recipe's paths by `cfg_options`, such as "
            "{'train_dataloader.dataset.data_prefix': ...}."
        )
    moved = {key: _replace(cfg[key], roots, root) for key in keys}
    if isinstance(prototype, Mapping):
        moved["model"] = {**model, "prototype": _replace(prototype, roots, root)}
    return moved


def _data_roots(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        inner = set().union(*(_data_roots(item) for item in value.values()))
        root = value.get("data_root")
        return inner | {root} if isinstance(root, str) and root else inner
    if isinstance(value, (list, tuple)):
        return set().union(*(_data_roots(item) for item in value))
    return set()


def _replace(value: Any, roots: set[str], new: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace(item, roots, new) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace(item, roots, new) for item in value)
    if isinstance(value, str):
        for root in sorted(roots, key=len, reverse=True):
            bare = root.rstrip("/")
            if value.rstrip("/") == bare or value.startswith(f"{bare}/"):
                return new.rstrip("/") + value[len(bare) :]
    return value
