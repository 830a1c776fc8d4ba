"""A plain config with a lego backbone, written as one with the stock backbone."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from gppf_mm.apis import read_checkpoint
from gppf_mm.models import LegoBackbone
from gppf_mm.registry import MODELS
from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.loading import load_whole, state_differences

from .files import ExportedTask, check_out, write_export
from .meta import export_meta
from .scope import find_ours, in_scope, others_imports
from .weights import own, plan_weights

_OURS = "gppf_mm"
# First values, which the checkpoint replaces; they may name files that are gone.
_FIRST_VALUES = ("init", "init_cfg")
_NOT_KEPT = ("work_dir", "load_from", "resume", "launcher", "experiment_name", "cfg")
_KEPT = (
    *("tta_model", "tta_pipeline", "custom_imports"),
    *(key for key in signature(Runner).parameters if key not in _NOT_KEPT),
)
_TRAINING = ("train_cfg", "train_dataloader", "optim_wrapper", "param_scheduler")


def export_backbone(
    cfg: Config, checkpoint: str | Path, out: str | Path
) -> ExportedTask:
    """Write a run of a plain config with a `LegoBackbone` as a stock run.

    Args:
        cfg: The config of mmdet, mmseg or mmpretrain, with its ``default_scope``.
        checkpoint: A checkpoint of a run with that config. If the run averages its
            weights (``EMAHook``), the file holds the average, and so will the export.
        out: The file to write, ``FILE.pth``; the config becomes ``FILE.py``.

    Returns:
        What was written; see `write_export`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the config is of several tasks, has no lego backbone or no
            ``default_scope``, ``out`` is no ``.pth`` file, or the checkpoint is not of
            this config.
    """
    out = check_out(out)
    tasks = cfg.get("tasks") or cfg.get("model", {}).get("tasks")
    if tasks:
        raise ValueError(
            "`--task` is missing, and the config is of several tasks; expected one of "
            f"{', '.join(repr(task) for task in tasks)}."
        )
    scope = cfg.get("default_scope")
    if scope in (None, "mmengine", _OURS):
        raise ValueError(
            f"`default_scope` is {scope!r}; expected the library that the config is "
            "of, such as 'mmdet'."
        )
    stock = stock_config(cfg)
    content = read_checkpoint(checkpoint)
    state = _stock_state(cfg, stock, content["state_dict"], str(checkpoint))
    trained_on = (content.get("meta") or {}).get("dataset_meta")
    meta = export_meta(content, stock, trained_on)
    return write_export(out, stock, state, meta, "A gppf_mm.LegoBackbone run")


def stock_config(cfg: Config) -> Config:
    """Put each lego backbone's skeleton in its place.

    Args:
        cfg: A plain config.

    Returns:
        The config without a part of this package. Hooks of this package are left out,
        and so is the training where it needs it.

    Raises:
        ValueError: If it has no lego backbone, or needs this package besides.
    """
    scope = cfg.default_scope
    plain = cfg.to_dict()
    model = _replaced(plain.get("model"), _skeleton)
    if model == plain.get("model"):
        raise ValueError(
            "The config's model has no gppf_mm.LegoBackbone; expected one; what has "
            "none is stock already."
        )
    # Besides, a config may have variables of its own, and what only this run needed.
    plain = {key: plain[key] for key in _KEPT if plain.get(key) is not None}
    plain["model"] = in_scope(model, scope)
    if imports := others_imports(plain.pop("custom_imports", None)):
        plain["custom_imports"] = imports
    hooks = plain.pop("custom_hooks", None) or ()
    if hooks := [hook for hook in hooks if not find_ours(hook, "")]:
        plain["custom_hooks"] = hooks
    if find_ours({key: plain.get(key) for key in _TRAINING}, ""):
        plain = {key: value for key, value in plain.items() if key not in _TRAINING}
    if found := find_ours(plain, "config"):
        raise ValueError(
            f"The config cannot be exported to {scope}: {found}, which only gppf_mm "
            f"has. Use a part of {scope} there."
        )
    return Config(plain)


def _is_lego(value: Any) -> bool:
    if not isinstance(value, Mapping) or "skeleton" not in value:
        return False
    return class_name(value.get("type")) == "LegoBackbone"


def _replaced(value: Any, replace: Callable[[Mapping], Mapping]) -> Any:
    """Return a config with each lego backbone's config replaced by another."""
    if _is_lego(value):
        value = replace(value)
    if isinstance(value, Mapping):
        return {key: _replaced(item, replace) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(item, replace) for item in value)
    return value


def _skeleton(lego: Mapping) -> Mapping:
    return lego["skeleton"]


def _without_first_values(lego: Mapping, found: Mapping[str, Tensor]) -> Mapping:
    dropped = {*_FIRST_VALUES}
    # With a transfer, the checkpoint tells where the schedules of routes began.
    if not any(name.endswith("network.origins.steps") for name in found):
        dropped.add("transfer")
    return {key: item for key, item in lego.items() if key not in dropped}


def _build(model: dict[str, Any], scope: str) -> nn.Module:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(deepcopy(model))


@torch.no_grad()
def _stock_state(
    cfg: Config, stock: Config, found: Mapping[str, Tensor], path: str
) -> "OrderedDict[str, Tensor]":
    """Assemble the weights of each lego backbone among those of the others."""
    lego = _replaced(
        cfg.to_dict()["model"], lambda item: _without_first_values(item, found)
    )
    model = _build(lego, cfg.default_scope)
    if differences := state_differences(found, model.state_dict()):
        raise ValueError(
            f"The checkpoint {path!r} is of another config: compared with its weights "
            f"the model has {differences}. Use the config that the run wrote beside "
            "its checkpoints."
        )
    load_whole(model, found)
    values = dict(model.state_dict())
    for place, module in model.named_modules():
        if isinstance(module, LegoBackbone):
            weights = {
                **{f"backbone.{k}": v for k, v in module.skeleton.state_dict().items()},
                **plan_weights(module.network, "task"),
            }
            values |= {
                f"{place}.{name.removeprefix('backbone.')}": value
                for name, value in weights.items()
            }
    expected = _build(stock.model, stock.default_scope).state_dict()
    state: OrderedDict[str, Tensor] = OrderedDict(
        (name, own(values[name])) for name in expected
    )
    state._metadata = expected._metadata  # type: ignore[attr-defined]
    return state
