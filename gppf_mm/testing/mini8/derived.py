"""Variants made of those of the main comparison, for the other sections."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .tasks import TASKS
from .variants import SHARED, SINGLE, STRONG, Variant, lego, main_variants

# Other networks, by the prefix of their variants' names.
_NETWORKS = dict(
    swin_="lego-swin-e16-4u-soft_mini8.py",
    narrow_="lego-r18w4-4u-soft_mini8.py",
    wide_="lego-r18w16-4u-soft_mini8.py",
)
_RANDOM = {"train_cfg.schedule": dict(type="gppf_mm.RandomSchedule")}
_SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = dict(
    round_robin=(
        "one task a step: round robin",
        {"train_cfg.schedule": dict(type="gppf_mm.RoundRobinSchedule")},
    ),
    random=("one task a step: random", _RANDOM),
    # As many optimizer steps as SIMT. Round robin with eight would be SIMT. A step has
    # the mean of eight gradients and not their sum, and the limit of its norm follows.
    random_x8=(
        "eight random tasks to an optimizer step",
        _RANDOM
        | {
            "optim_wrapper.accumulative_counts": len(TASKS),
            "optim_wrapper.clip_grad.max_norm": 10 / len(TASKS),
        },
    ),
)
_WEIGHTINGS = ("UW", "FAMO", "UPGrad")


def group_variants() -> list[Variant]:
    """Return routers whose groups are other than blocks."""
    soft = "gppf_mm.SoftRouter"
    return [
        lego(f"lego4_soft_{by}", f"routes by {by}", 4, type=soft, group=by)
        for by in ("layer", "stage")
    ]


def norm_variants(base: Variant) -> list[Variant]:
    """Return a lego with normalisation layers that are not the task's own."""
    return [
        replace(
            base,
            name=f"{base.name}_{norm}_norms",
            what=f"{base.name}, norms: {norm}",
            lego={**base.lego, "norm": norm},
        )
        for norm in ("shared", "unit")
    ]


def scheduled(base: Variant) -> list[Variant]:
    """Return a variant under schedules that train one task an iteration."""
    return [
        replace(
            base,
            name=f"{base.name}@{key}",
            what=f"{base.name}, {what}",
            changes=changes,
            spread_steps=True,
        )
        for key, (what, changes) in _SCHEDULES.items()
    ]


def weighted(base: Variant) -> list[Variant]:
    """Return a variant under task weightings."""
    return [
        replace(
            base,
            name=f"{base.name}+{kind}",
            what=f"{base.name}, losses weighted by {kind}",
            changes={"model.weighting": dict(type=kind)},
        )
        for kind in _WEIGHTINGS
    ]


def transformers(best: Iterable[str]) -> list[Variant]:
    """Return the baselines and legos over a small Swin.

    Args:
        best: The names of the legos; the soft one of 4 units is compared as well.
    """
    # A Swin normalises each of its outputs, and tasks take different ones.
    outputs = dict(placement=[("backbone.norm?.*", "private")])
    found = over("swin_", (SINGLE, SHARED, STRONG, "lego4_soft", *best))
    return [
        replace(item, lego={**item.lego, **outputs}) if "norm" in item.lego else item
        for item in found
    ]


def over(prefix: str, names: Iterable[str]) -> list[Variant]:
    """Return main variants over another network.

    Args:
        prefix: What their names begin with then: ``'swin_'``, ``'narrow_'`` or
            ``'wide_'``, the last two a ResNet-18 of half and twice the width.
        names: The variants.
    """
    names = set(names)
    return [
        replace(item, name=f"{prefix}{item.name}", config=_NETWORKS[prefix])
        for item in main_variants()
        if item.name in names
    ]


def plain_name(name: str) -> str:
    """Return the name of the main variant that `over` was given, or the name itself."""
    found = (name.removeprefix(prefix) for prefix in _NETWORKS)
    return next((plain for plain in found if plain != name), name)
