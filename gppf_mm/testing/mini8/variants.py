"""What is compared: a variant, and those of the main comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import routes

RESNET = "lego-r18w8-4u-soft_mini8.py"
SINGLE, SHARED, STRONG = "single", "shared", "shared_private"
_FIXED = dict(type="gppf_mm.FixedRouter", group="block")
# Half of a reported run; one of fewer batches may never get there.
_HALF = 600


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
    hard = dict(num_units=1, router=_FIXED)
    return [
        Variant(SINGLE, "eight networks, stock MMEngine runs"),
        Variant(SHARED, "hard sharing, norms too", hard | dict(norm="shared")),
        Variant(STRONG, "hard sharing, norms by task: the strong baseline", hard),
        *_routed_from_nothing(),
        *_with_own_units(),
        *_sparse_by_design(),
    ]


def _routed_from_nothing() -> list[Variant]:
    """Return legos whose routes start equal, or by chance."""
    soft, top = "gppf_mm.SoftRouter", "gppf_mm.TopKRouter"
    common = dict(type=top, k=2, shared_units=1)
    return [
        lego("lego4_top2", "4 units, top-2", 4, type=top, k=2),
        lego("lego4_soft", "4 units, all in the mix", 4, type=soft),
        lego("lego8_soft", "8 units, all in the mix", 8, type=soft),
        lego("lego4_top1", "4 units, top-1", 4, type=top, k=1),
        lego("lego8_top2", "8 units, top-2", 8, type=top, k=2),
        lego("lego8_top1", "8 units, top-1", 8, type=top, k=1),
        lego("lego4_common", "4 units, top-2, one of them common", 4, **common),
    ]


def _with_own_units() -> list[Variant]:
    """Return legos with units of the tasks' own, and routes that start from them."""
    start = "all in the mix, starting from"
    own, kinds = routes.BY_TASK, routes.BY_TASK_AND_KIND
    some = routes.BY_KIND_AND_SOME_TASKS
    top3 = dict(type="gppf_mm.TopKRouter", k=3)
    return [
        lego("lego9_fixed", "one common and one own unit each", 9, **_given(own)),
        lego("lego9_soft", f"9 units, {start} lego9_fixed", 9, **_learned(own)),
        lego(
            "lego12_fixed",
            "as lego9_fixed, and a unit for each kind of images",
            12,
            **_given(kinds),
        ),
        lego("lego12_soft", f"12 units, {start} lego12_fixed", 12, **_learned(kinds)),
        lego(
            "lego12_top3",
            "12 units, top-3, starting from lego12_fixed",
            12,
            **_learned(kinds) | top3,
        ),
        lego(
            "lego10_soft",
            "as lego12_soft, without own units for count and tags",
            10,
            **_learned(some),
        ),
        lego("lego10_top3", "as lego10_soft, top-3", 10, **_learned(some) | top3),
        lego(
            "lego10_sharpened",
            "as lego10_soft, top-3 in the second half",
            10,
            **_learned(some) | dict(top3, k=[(0, 10), (_HALF, 3)]),
        ),
    ]


def _sparse_by_design() -> list[Variant]:
    """Return legos that store no more than eight networks do, of given routes."""
    return [
        lego(
            "lego5_fixed",
            "one common unit and one for each kind of images",
            5,
            **_given(routes.BY_KIND),
        ),
        lego(
            "lego6_found",
            "one common unit and one for each group that soft routes show",
            6,
            **_given(routes.FOUND),
        ),
        lego(
            "lego8_nested",
            "a common unit, one for kinds of images, one for tasks that keep apart",
            8,
            **_given(routes.NESTED),
        ),
    ]


def _given(found: Mapping[str, list[int]]) -> dict[str, Any]:
    """Return a router with these routes, their units mixed evenly."""
    return dict(type="gppf_mm.FixedRouter", routes=found)


def _learned(start: Mapping[str, list[int]]) -> dict[str, Any]:
    """Return a soft router that starts from these routes."""
    # A temperature below 1: the first routes lead, and logits move faster.
    return dict(type="gppf_mm.SoftRouter", temperature=1 / 3, initial_routes=start)
