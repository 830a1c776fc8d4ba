"""One task: an entry of ``tasks`` and its stock recipe become parts of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from gppf_mm.utils.messages import check_mapping, check_names

from .backbone import replace_backbone
from .hooks import split_hooks
from .imports import import_modules
from .loaders import check_batch_size, evaluation, task_loader
from .overrides import check_overrides, flatten, merge_overrides
from .probe import Prober
from .rewrite import imported_modules, in_its_scope, move_data, torch_sync_bn
from .rules import task_rules
from .source import Recipe, load_recipe

_ENTRY_KEYS = (
    "config",
    "scope",
    "cfg_options",
    "data_root",
    "batch_size",
    "num_workers",
    "loss_weight",
    "lr_mult",
    "decay_mult",
    "backbone",
    "parts",
)


@dataclass
class TaskConfig:
    """What one task adds to the run's config.

    Attributes:
        model: The stock model config with its ``_scope_``.
        parts: The values under ``train_dataloader``, ``val_evaluator``,
            ``visualizers``, ... for this task, by that key.
        rules: The recipe's optimizer rules, and the task's own multipliers.
        hooks: Hooks of the recipe that act on this task alone.
        imports: Modules that the recipe asks to import.
        loss_weight: Weight of the task's loss.
        paths: Where the model has a shared part under another name.
        notes: What of the recipe was left behind, and why; a sentence each.
    """

    model: dict[str, Any]
    parts: dict[str, Any]
    rules: dict[str, Any]
    hooks: list[dict[str, Any]]
    imports: list[str]
    loss_weight: float
    paths: dict[str, str]
    notes: list[str]


def expand_task(
    task: str,
    entry: Mapping[str, Any],
    backbone: Mapping[str, Any] | None = None,
    prober: Prober | None = None,
) -> TaskConfig:
    """Expand one entry of ``tasks``.

    Args:
        task: The task's name.
        entry: ``config`` names the recipe (see `load_recipe`), with ``scope`` if it
            needs one; ``data_root`` replaces the root of its data sets;
            ``cfg_options`` overrides by dotted keys what came of that;
            ``batch_size`` is that of training; ``num_workers`` counts for all its
            loaders; ``loss_weight``, ``lr_mult`` and ``decay_mult`` scale its loss,
            learning rate and weight decay; ``backbone`` adds to the common backbone
            for this task; ``parts`` tells where its model has a shared part under
            another name, as ``{'backbone': 'encoder'}``.
        backbone: The common backbone of all tasks. Defaults to None, the recipe's own.
        prober: What runs backbones, if several tasks share it. Defaults to None.

    Returns:
        The task's share of the run's config.

    Raises:
        FileNotFoundError: If there is no such recipe.
        TypeError: If ``parts`` is no dict.
        ValueError: If the entry has no ``config`` or an unknown key, or the recipe does
            not train.
    """
    where = f"tasks.{task}"
    if not isinstance(entry, Mapping) or "config" not in entry:
        raise ValueError(
            f"`{where}` is {entry!r}; expected a dict with `config`, the name of a "
            "stock recipe, such as dict(config='mmdet::retinanet/"
            "retinanet_r50_fpn_1x_coco.py')."
        )
    check_names(where, entry, _ENTRY_KEYS)
    paths = entry.get("parts") or {}
    check_mapping(f"{where}.parts", paths, "dict(backbone='encoder')")
    options = flatten(entry.get("cfg_options") or {})
    check_overrides(where, options)
    notes: list[str] = []
    recipe = _load(task, entry, options, backbone, prober or Prober(), notes)
    cfg = recipe.cfg
    loader = cfg.get("train_dataloader")
    if not isinstance(loader, Mapping):
        raise ValueError(
            f"`{where}.config` names {recipe.name!r}, which has no `train_dataloader`: "
            "it tests a trained model. Name a recipe that trains."
        )
    check_batch_size(where, entry, loader)
    parts = dict(
        train_dataloader=task_loader(cfg.train_dataloader, recipe.scope, entry, True)
    )
    parts |= evaluation(recipe, entry, notes)
    if cfg.get("visualizer"):
        parts["visualizers"] = in_its_scope(cfg.visualizer, recipe.scope)
    if cfg.get("load_from"):
        notes.append(
            f"load_from={cfg.load_from!r}: start from it by `lego.init.checkpoint`"
        )
    hooks, left = split_hooks(task, recipe)
    return TaskConfig(
        model=torch_sync_bn(_model(recipe, entry)),
        parts=parts,
        rules=task_rules(recipe, entry),
        hooks=hooks,
        imports=imported_modules(cfg.get("custom_imports")),
        loss_weight=entry.get("loss_weight", 1.0),
        paths=dict(paths),
        notes=[*notes, *left],
    )


def _load(
    task: str,
    entry: Mapping[str, Any],
    options: Mapping[str, Any],
    backbone: Mapping[str, Any] | None,
    prober: Prober,
    notes: list[str],
) -> Recipe:
    if backbone is None and entry.get("backbone"):
        raise ValueError(
            f"`tasks.{task}.backbone` adds to the common backbone, and the config "
            "has no top-level `backbone`. To change the recipe's own, use "
            f"`tasks.{task}.cfg_options`, as {{'model.backbone.depth': 18}}."
        )
    recipe = load_recipe(entry["config"], scope=entry.get("scope"))
    if entry.get("data_root"):
        try:
            moved = move_data(recipe.cfg, entry["data_root"])
        except ValueError as error:
            raise ValueError(f"`tasks.{task}.data_root`: {error}") from error
        for key, value in moved.items():
            recipe.cfg[key] = value
    if backbone is not None:
        # The recipe's own backbone, which is looked at, may be in one of these.
        import_modules(f"`tasks.{task}`", _imports(recipe, options))
        recipe.cfg.model = ConfigDict(
            replace_backbone(
                task,
                recipe.cfg.model.to_dict(),
                recipe.scope,
                backbone,
                entry.get("backbone") or {},
                prober,
                notes,
                settled=[key for key in options if key.startswith("model.")],
            )
        )
    # Last, since they say what shall be different from all that.
    try:
        merge_overrides(recipe.cfg, options)
    except Exception as error:  # What MMEngine raises depends on the key.
        raise ValueError(
            f"`tasks.{task}.cfg_options` does not fit {recipe.name!r}: "
            f"{type(error).__name__}: {error}. Mend a key or an index."
        ) from error
    return recipe


def _imports(recipe: Recipe, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the recipe's ``custom_imports`` as the overrides will have it."""
    key = "custom_imports"
    cfg = Config({key: recipe.cfg.get(key) or {}})
    changed = {name: options[name] for name in options if name.split(".")[0] == key}
    merge_overrides(cfg, changed)
    return cfg[key]


def _model(recipe: Recipe, entry: Mapping[str, Any]) -> dict[str, Any]:
    model = in_its_scope(recipe.cfg.model, recipe.scope)
    prototype = model.get("prototype")
    if isinstance(prototype, Mapping) and "dataset" in prototype:
        # A retriever builds this loader of what it ranks by itself, in any scope.
        loader = task_loader(prototype, recipe.scope, entry, False)
        scope = loader.pop("_scope_")
        model["prototype"] = {
            **loader,
            "dataset": {"_scope_": scope, **loader["dataset"]},
        }
    return model
