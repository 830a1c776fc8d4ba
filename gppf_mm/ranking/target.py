"""The new task for which routes are ranked."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import check_mapping, check_names

# What a lego backbone and `model.lego` have in common.
_NETWORK_KEYS = ("num_units", "router", "placement", "channels_last", "norm")
_ROUTER = "dict(type='gppf_mm.SoftRouter', group='block')"


@dataclass(frozen=True)
class Target:
    """A new task.

    Attributes:
        model: The stock model's config, with a `LegoBackbone`.
        loader: The training loader's config.
        where: The key under which it stands.
        scope: The library in which both are looked up.
    """

    model: dict[str, Any]
    loader: dict[str, Any]
    where: str
    scope: str


def read_target(cfg: Config, checkpoint: str, task: str | None) -> Target:
    """Read the new task's model and loader.

    Args:
        cfg: A stock config with a `LegoBackbone`, or a multi-task config with
            ``model.lego.transfer.new``.
        checkpoint: The trained run, from which the backbone is to start.
        task: The new task of a multi-task config, None for its only one.

    Returns:
        The new task, its backbone starting from the run.

    Raises:
        TypeError: If it has no router.
        ValueError: If the config is of neither kind, or lacks what the task needs.
    """
    model = cfg.get("model") or {}
    where = "train_dataloader"
    if "tasks" in model:
        task = _choose(cfg, task)
        where = f"{where}.{task}"
        stock, loader, scope = _of_many(cfg, task)
    else:
        stock, loader = deepcopy(dict(model)), cfg.get(where)
        if task is not None:
            raise ValueError(
                f"--task is {task!r}, but the config has a single model; expected a "
                "multi-task config, whose `model.tasks` has it. Leave --task out."
            )
        scope = cfg.get("default_scope", "mmengine")
        if cfg.get("data_preprocessor"):  # mmpretrain's, beside the model.
            stock.setdefault("data_preprocessor", cfg.data_preprocessor.to_dict())
    backbone = stock.get("backbone") or {}
    if not str(backbone.get("type")).endswith("LegoBackbone"):
        raise ValueError(
            "The config is none of a new task: expected model.backbone=dict(type="
            "'gppf_mm.LegoBackbone', ...), or a multi-task config with "
            "model.lego.transfer.new; found a backbone of type "
            f"{backbone.get('type')!r}."
        )
    check_mapping("model.backbone.router", backbone.get("router"), _ROUTER)
    _check_learns(backbone["router"])
    backbone["transfer"] = dict(checkpoint=checkpoint)
    backbone.pop("init", None)
    backbone.pop("init_cfg", None)
    _check_loader(where, loader or {})
    return Target(stock, _plain(loader), where, scope)


def _choose(cfg: Config, task: str | None) -> str:
    """Return the new task of a multi-task config."""
    lego = cfg.model.get("lego") or {}
    new = list((lego.get("transfer") or {}).get("new") or {})
    if not new or (task is None and len(new) > 1):
        raise ValueError(
            f"`model.lego.transfer.new` has {len(new)} tasks; expected the new task "
            "for which routes are ranked, or --task with one of several."
        )
    task = task or new[0]
    check_names("--task", [task], new)
    check_names("model.lego.transfer.new", [task], cfg.model.tasks)
    return task


def _of_many(cfg: Config, task: str) -> tuple[dict[str, Any], Any, str]:
    """Take a new task out of a multi-task config."""
    lego = cfg.model.get("lego") or {}
    stock = deepcopy(cfg.model.tasks[task].to_dict())
    scope = stock.get("_scope_") or cfg.get("default_scope", "gppf_mm")
    _check_alone(cfg, task)
    network = {key: deepcopy(lego[key]) for key in _NETWORK_KEYS if key in lego}
    check_mapping("model.lego.router", network.get("router"), _ROUTER)
    # First values of several tasks' routes, which the trained run's replace.
    for key in ("affinity", "initial_routes"):
        network["router"].pop(key, None)
    others = tuple(f"{part}." for part in cfg.model.get("share", ()))
    _keep_backbone(network, tuple(name for name in others if name != "backbone."))
    # The trained run has the backbone's weights, and a LegoBackbone takes no others so.
    stock.pop("pretrained", None)
    stock["backbone"] = dict(
        type="gppf_mm.LegoBackbone", skeleton=stock["backbone"], **network
    )
    return stock, (cfg.get("train_dataloader") or {}).get(task), scope


def _check_loader(where: str, loader: Mapping[str, Any]) -> None:
    for key in ("batch_size", "dataset"):
        if not loader.get(key):
            raise ValueError(
                f"`{where}.{key}` is missing; expected the training loader of the new "
                "task, on whose images routes are tried."
            )


def _check_alone(cfg: Config, task: str) -> None:
    """Refuse what a backbone by itself cannot have."""
    lego = cfg.model.get("lego") or {}
    found = [f"model.parts.{task}"] if (cfg.model.get("parts") or {}).get(task) else []
    found += ["model.lego.mismatch"] if lego.get("mismatch", "error") != "error" else []
    if found:
        raise ValueError(
            f"Routes cannot be ranked with `{found[0]}`, for they are tried in a "
            "LegoBackbone, which has a whole backbone and one task. Rank them with a "
            "stock config that has model.backbone=dict(type='gppf_mm.LegoBackbone', "
            "...) instead."
        )


def _check_learns(router: Mapping[str, Any]) -> None:
    """Refuse a router whose routes are no part of a checkpoint."""
    if class_name(router.get("type")) == "FixedRouter":
        raise ValueError(
            "Routes cannot be ranked with a FixedRouter, which learns none: they stand "
            "in the config of the run, and the checkpoint, from which they are tried, "
            "does not have them. Expected a router that learns, such as SoftRouter."
        )


def _keep_backbone(network: dict[str, Any], others: tuple[str, ...]) -> None:
    """Drop rules for parts that a backbone by itself has not."""
    if not others:
        return
    for key in ("placement", "num_units"):
        rules = network.get(key)
        if isinstance(rules, (list, tuple)):
            # What is no pair is a preset, or the units of a stage.
            network[key] = [
                rule
                for rule in rules
                if not isinstance(rule, (list, tuple)) or not rule[0].startswith(others)
            ]


def _plain(loader: Mapping[str, Any]) -> dict[str, Any]:
    plain = deepcopy(dict(loader))
    plain.pop("_scope_", None)
    return plain
