"""What is compared: the variants, by section."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gppf_mm.models.gppf import _LEGO_KEYS

METRICS = dict(
    cells="coco/bbox_mAP_50",
    scene="mIoU",
    objects="accuracy/top1",
    tags="multi-label/mAP",
    count="accuracy/top1",
    night="mIoU",
    toydet="coco/bbox_mAP_50",
    toyseg="mIoU",
    heldout="accuracy/top1",
)
TASKS = tuple(task for task in METRICS if task != "heldout")
RESNET = "lego-r18w8-4u-soft_mini8.py"
SWIN_PREFIX = "swin_"
SWIN = "lego-swin-e16-4u-soft_mini8.py"
SINGLE, SHARED, STRONG = "single", "shared", "shared_private"
_FIXED = dict(type="gppf_mm.FixedRouter", group="block")


@dataclass(frozen=True)
class Variant:
    """One side of a comparison.

    Attributes:
        name: Its name.
        what: What it is, in words.
        lego: The whole of ``model.lego``; empty for stock single-task runs.
        changes: Other changes of the config, by dotted key.
        config: The file in ``configs/mini8`` that is changed.
        spread_steps: Whether a step trains one task, so that there are as many times
            more steps as there are tasks.
    """

    name: str
    what: str
    lego: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    config: str = RESNET
    spread_steps: bool = False

    @property
    def is_stock(self) -> bool:
        """Whether each task is trained by itself, by the stock runner."""
        return not self.lego

    @property
    def missing(self) -> str:
        """The key of ``model.lego`` that this version lacks, if any."""
        lacking = [key for key in self.lego if key not in _LEGO_KEYS]
        return lacking[0] if lacking else ""


def _lego(name: str, what: str, num_units: int, **router: Any) -> Variant:
    router = dict(group="block") | router
    return Variant(name, what, dict(num_units=num_units, router=router))


def main_variants() -> list[Variant]:
    """Return the variants of the main comparison."""
    soft, top = "gppf_mm.SoftRouter", "gppf_mm.TopKRouter"
    own = {task: [0, index] for index, task in enumerate(TASKS, start=1)}
    routes = dict(type="gppf_mm.FixedRouter", routes=own)
    hard = dict(num_units=1, router=_FIXED)
    return [
        Variant(SINGLE, "eight networks, stock MMEngine runs"),
        Variant(SHARED, "hard sharing, norms too", hard | dict(norm="shared")),
        Variant(STRONG, "hard sharing, norms by task: the strong baseline", hard),
        _lego("lego4_top2", "4 units, top-2", 4, type=top, k=2),
        _lego("lego4_soft", "4 units, all in the mix", 4, type=soft),
        _lego("lego8_soft", "8 units, all in the mix", 8, type=soft),
        _lego("lego4_top1", "4 units, top-1", 4, type=top, k=1),
        _lego(
            "lego4_common",
            "4 units, top-2, of which one is common to all",
            4,
            type=top,
            k=2,
            shared_units=1,
        ),
        _lego("lego9_fixed", "one common and one own unit each", 9, **routes),
        # A temperature below 1: the first routes lead, and logits move faster.
        _lego(
            "lego9_soft",
            "9 units, all in the mix, starting from lego9_fixed",
            9,
            type=soft,
            temperature=1 / 3,
            initial_routes=own,
        ),
    ]


def group_variants() -> list[Variant]:
    """Return routers whose groups are other than blocks."""
    soft = "gppf_mm.SoftRouter"
    return [
        _lego(f"lego4_soft_{by}", f"routes by {by}", 4, type=soft, group=by)
        for by in ("layer", "stage")
    ]


_SCHEDULES = dict(round_robin="RoundRobinSchedule", random="RandomSchedule")
_WEIGHTINGS = ("UW", "FAMO", "UPGrad")


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


def transformers(best: str) -> list[Variant]:
    """Return the baselines and a lego over a small Swin.

    Args:
        best: The name of the lego; the soft one of 4 units is compared as well.
    """
    names = dict.fromkeys((SINGLE, SHARED, STRONG, "lego4_soft", best))
    # A Swin normalises each of its outputs, and tasks take different ones.
    outputs = dict(placement=[("backbone.norm?.*", "private")])
    return [
        replace(
            item,
            name=f"{SWIN_PREFIX}{item.name}",
            config=SWIN,
            lego={**item.lego, **outputs} if "norm" in item.lego else item.lego,
        )
        for item in main_variants()
        if item.name in names
    ]
