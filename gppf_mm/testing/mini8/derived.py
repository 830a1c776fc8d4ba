"""Variants made of those of the main comparison, for the other sections."""

from collections.abc import Iterable
from dataclasses import replace

from .variants import SHARED, SINGLE, STRONG, Variant, lego, main_variants

SWIN_PREFIX = "swin_"
_SWIN = "lego-swin-e16-4u-soft_mini8.py"
_SCHEDULES = dict(round_robin="RoundRobinSchedule", random="RandomSchedule")
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
    """Return a variant under schedules that train one task a step."""
    return [
        replace(
            base,
            name=f"{base.name}@{key}",
            what=f"{base.name}, one task a step: {key.replace('_', ' ')}",
            changes={"train_cfg.schedule": dict(type=f"gppf_mm.{kind}")},
            spread_steps=True,
        )
        for key, kind in _SCHEDULES.items()
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
    names = dict.fromkeys((SINGLE, SHARED, STRONG, "lego4_soft", *best))
    # A Swin normalises each of its outputs, and tasks take different ones.
    outputs = dict(placement=[("backbone.norm?.*", "private")])
    return [
        replace(
            item,
            name=f"{SWIN_PREFIX}{item.name}",
            config=_SWIN,
            lego={**item.lego, **outputs} if "norm" in item.lego else item.lego,
        )
        for item in main_variants()
        if item.name in names
    ]
