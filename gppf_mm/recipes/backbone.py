"""One backbone for all tasks."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from .channels import ChannelAdapter
from .probe import (
    Probe,
    Prober,
    accepted_arguments,
    default_of,
    find_class,
    takes_masks,
)

# Geometry of a task that every family of backbones understands.
_GEOMETRY = ("frozen_stages", "norm_eval", "with_cp")
# What has one value for each stage.
_BY_STAGE = ("strides", "dilations")
# What only has a meaning within one family.
_FAMILY_GEOMETRY = (*_BY_STAGE, "contract_dilation", "multi_grid", "drop_path_rate")
# What is noted where it is lost: not the contraction, which most recipes of mmseg have
# and which changes one block of a stage.
_NOTED_GEOMETRY = (*_BY_STAGE, "multi_grid", "drop_path_rate")
# Hierarchical backbones have four stages.
_ALL_STAGES = (0, 1, 2, 3)


def replace_backbone(
    task: str,
    model: Mapping[str, Any],
    scope: str,
    backbone: Mapping[str, Any],
    own: Mapping[str, Any],
    prober: Prober,
    notes: list[str],
    settled: Sequence[str] = (),
) -> dict[str, Any]:
    """Put the common backbone into a stock model.

    The task keeps its geometry: the stages that it reads (``out_indices``, matched by
    stride where the two families count differently), frozen stages, ``norm_eval``,
    activation checkpointing and, within one family, strides, dilations and drop path;
    what the new class has no argument for is noted. Necks and heads get the new
    backbone's channels, see `ChannelAdapter`, and a classifier whose old backbone
    pooled its features gets a neck that does.

    Args:
        task: The task's name, for errors.
        model: The stock model config.
        scope: The registry scope of its library.
        backbone: The common backbone, its type with a scope: ``'mmpretrain.ResNet'``.
        own: What this task adds to it.
        prober: What runs the old and the new backbone.
        notes: What of the recipe is left behind; added to.
        settled: Dotted keys, from ``model`` on, that the user sets anyway. Defaults to
            none.

    Returns:
        A new model config.

    Raises:
        ValueError: If the model has no backbone or one that masks images, a backbone
            cannot be built or run, or it is not known where its channels go.
    """
    fitted: dict[str, Any] = deepcopy(dict(model))
    if not isinstance(model.get("backbone"), Mapping):
        raise ValueError(
            f"The top-level `backbone` is for models with a backbone, and that of task "
            f"{task!r} ({model.get('type')}) has none. Leave the task or the key out."
        )
    if "." not in str(backbone.get("type", "")):
        raise ValueError(
            f"`backbone.type` is {backbone.get('type')!r}; expected a type with its "
            "library, such as 'mmpretrain.ResNet'."
        )
    old_cfg = {"_scope_": scope, **fitted["backbone"]}
    old_class = find_class(old_cfg, f"`model.backbone.type` of task {task!r}")
    _check_masks(task, old_class, find_class(backbone))
    old = prober.probe(old_cfg)
    fitted["backbone"] = _fit(task, old_cfg, old, {**backbone, **own}, prober, notes)
    fitted.pop("pretrained", None)
    new = _probe(task, fitted["backbone"], prober)
    if len(new.channels) != len(old.channels):
        raise ValueError(
            f"Task {task!r} reads {len(old.channels)} outputs of its backbone, and the "
            f"common one gives {len(new.channels)}. Say which it shall read: "
            f"tasks.{task}.backbone=dict(out_indices=(...))."
        )
    if new.pooled != old.pooled:
        _fit_pooling(task, fitted, new)
    ChannelAdapter(task, old.channels, new.channels, settled).adapt(fitted)
    return fitted


def _check_masks(task: str, old: type, new: type) -> None:
    if takes_masks(old) and not takes_masks(new):
        raise ValueError(
            f"Task {task!r} learns from masked images, and its {old.__name__} masks "
            f"them itself, which the common `backbone` ({new.__name__}) does not. "
            "Leave the task out of this run, or `backbone` out of the config."
        )


def _probe(task: str, cfg: Mapping[str, Any], prober: Prober) -> Probe:
    try:
        return prober.probe(cfg)
    except ValueError as error:
        raise ValueError(
            f"{error} It has the geometry that task {task!r} had in its recipe; "
            f"tasks.{task}.backbone=dict(...) changes it for this task."
        ) from error


def _fit_pooling(task: str, model: dict[str, Any], new: Probe) -> None:
    """Pool the new backbone's map where the old backbone did so itself."""
    if new.pooled:
        raise ValueError(
            f"Task {task!r} reads maps of features, and the common `backbone` gives it "
            "one vector for an image. Have it return maps for this task: tasks."
            f"{task}.backbone=dict(...), for example out_type='featmap' of a "
            "VisionTransformer or gap_before_final_norm=False of a ConvNeXt."
        )
    if model.get("neck"):
        raise ValueError(
            f"Task {task!r} reads one vector for an image, and the common `backbone` "
            f"gives it a map. Put the pooling into its neck: tasks.{task}.cfg_options="
            "{'model.neck': ...}."
        )
    model["neck"] = dict(type="mmpretrain.GlobalAveragePooling")


def _fit(
    task: str,
    old_cfg: Mapping[str, Any],
    old: Probe,
    wanted: Mapping[str, Any],
    prober: Prober,
    notes: list[str],
) -> dict[str, Any]:
    """Give the common backbone the task's geometry."""
    kind = find_class(wanted)
    family = _same_family(old.kind, kind)
    accepted = accepted_arguments(kind)
    keys = _GEOMETRY + (_FAMILY_GEOMETRY if family else ())
    cfg = {key: old_cfg[key] for key in keys if key in old_cfg and key in accepted}
    if family:
        notes += [
            f"backbone.{key}={old_cfg[key]!r}, for which the common backbone "
            f"({kind.__name__}) has no argument"
            for key in _NOTED_GEOMETRY
            if old_cfg.get(key) and key not in accepted
        ]
    for key in _BY_STAGE:
        if key in cfg:
            stages = wanted.get("num_stages", default_of(kind, "num_stages"))
            cfg[key] = _for_stages(cfg[key], default_of(kind, key), stages)
    cfg.update(deepcopy(dict(wanted)))
    if "out_indices" in wanted or "out_indices" not in accepted:
        return cfg
    if family and old.out_indices is not None:
        cfg["out_indices"] = old.out_indices
        return cfg
    full = prober.probe({**wanted, "out_indices": _ALL_STAGES})
    cfg["out_indices"] = _same_strides(task, old.strides, full.strides)
    return cfg


def _for_stages(
    values: Sequence[int], default: Sequence[int] | None, stages: int | None
) -> tuple[int, ...]:
    """Give each stage of the new backbone a value, where the old one had fewer."""
    filled = (*values, *(default or ())[len(values) :])
    return filled if stages is None else filled[:stages]


def _same_family(old: type, new: type) -> bool:
    """Tell whether two backbones count stages and strides alike.

    The libraries have their own copies of a family, and variants by suffix: mmseg's
    ``ResNetV1c`` is one of mmpretrain's ``ResNet``.
    """
    names = {base.__name__ for base in old.__mro__}
    return new.__name__ in names or old.__name__.startswith(new.__name__)


def _same_strides(task: str, old: Sequence[int], new: Sequence[int]) -> tuple[int, ...]:
    """Choose the stages of the new backbone that the task read of the old one."""
    if len(set(old)) == len(old) and all(stride in new for stride in old):
        return tuple(new.index(stride) for stride in old)
    if len(old) <= len(new):
        # A dilated or a plain backbone repeats strides: its last stages are the last.
        return tuple(range(len(new)))[-len(old) :]
    raise ValueError(
        f"Task {task!r} reads features of strides {list(old)}, and the common backbone "
        f"has {list(new)}. Say which stages it shall read: "
        f"tasks.{task}.backbone=dict(out_indices=(...))."
    )
