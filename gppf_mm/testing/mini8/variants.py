"""What is compared: a variant, and those of the main comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gppf_mm.analysis import routes_of_groups

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
SINGLE, SHARED, STRONG = "single", "shared", "shared_private"
# Tasks over one kind of images; `objects` is the only one of its own.
_KINDS = (("cells", "count"), ("scene", "tags", "night"), ("toydet", "toyseg"))
_PHOTOS = ("objects",)
# What `routing.py --groups 5` prints of the soft routers of 4 and 8 units; see
# docs/en/mini8.md.
_FOUND = (
    ("cells",),
    ("scene", "night"),
    ("objects", "tags", "count"),
    ("toydet",),
    ("toyseg",),
)
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


def lego(name: str, what: str, num_units: int, **router: Any) -> Variant:
    """Return a lego variant that routes by block unless its router says otherwise."""
    router = dict(group="block") | router
    return Variant(name, what, dict(num_units=num_units, router=router))


def main_variants() -> list[Variant]:
    """Return the variants of the main comparison."""
    soft, top = "gppf_mm.SoftRouter", "gppf_mm.TopKRouter"
    own = {task: [0, index] for index, task in enumerate(TASKS, start=1)}
    routes = dict(type="gppf_mm.FixedRouter", routes=own)
    kinds = {
        task: [*units, *(9 + n for n, kind in enumerate(_KINDS) if task in kind)]
        for task, units in own.items()
    }
    by_kind = routes_of_groups((*_KINDS, _PHOTOS))
    hard = dict(num_units=1, router=_FIXED)
    return [
        Variant(SINGLE, "eight networks, stock MMEngine runs"),
        Variant(SHARED, "hard sharing, norms too", hard | dict(norm="shared")),
        Variant(STRONG, "hard sharing, norms by task: the strong baseline", hard),
        lego("lego4_top2", "4 units, top-2", 4, type=top, k=2),
        lego("lego4_soft", "4 units, all in the mix", 4, type=soft),
        lego("lego8_soft", "8 units, all in the mix", 8, type=soft),
        lego("lego4_top1", "4 units, top-1", 4, type=top, k=1),
        lego(
            "lego4_common",
            "4 units, top-2, of which one is common to all",
            4,
            type=top,
            k=2,
            shared_units=1,
        ),
        lego("lego9_fixed", "one common and one own unit each", 9, **routes),
        # A temperature below 1: the first routes lead, and logits move faster.
        lego(
            "lego9_soft",
            "9 units, all in the mix, starting from lego9_fixed",
            9,
            type=soft,
            temperature=1 / 3,
            initial_routes=own,
        ),
        lego(
            "lego12_fixed",
            "as lego9_fixed, and a unit for each kind of image",
            12,
            **dict(routes, routes=kinds),
        ),
        lego(
            "lego12_soft",
            "12 units, all in the mix, starting from lego12_fixed",
            12,
            type=soft,
            temperature=1 / 3,
            initial_routes=kinds,
        ),
        lego(
            "lego12_top3",
            "12 units, top-3, starting from lego12_fixed",
            12,
            type=top,
            k=3,
            temperature=1 / 3,
            initial_routes=kinds,
        ),
        lego(
            "lego5_fixed",
            "one common unit and one for each kind of image",
            5,
            **dict(routes, routes=by_kind),
        ),
        lego(
            "lego6_found",
            "one common unit and one for each group that soft routes show",
            6,
            **dict(routes, routes=routes_of_groups(_FOUND)),
        ),
    ]
