"""A task over a bank against the same task with its plain backbone."""

from collections.abc import Mapping
from typing import Any

import torch

from .figure import Figure, Goal
from .options import Options
from .steps import Step, StockSteps
from .tasks import TOP1, TOP2, build_gppf, build_stock, set_up
from .timing import Pair, interleave, ratio_figure

# A classifier: it has next to nothing besides the backbone that could hide the cost.
_TASK = "cls"
_UNITS = 4


def _train_pair(router: Mapping[str, Any], options: Options) -> Pair:
    cfg, batches = set_up([_TASK], options, size=512, depth=50)
    ours = Step(build_gppf(cfg, _UNITS, router, options), batches)
    return Pair({"lego": ours, "stock": StockSteps(cfg, batches, options)})


def top2_pair(options: Options) -> Pair:
    """Set up a training step with two of four units active, and a stock step."""
    return _train_pair(TOP2, options)


def top1_pair(options: Options) -> Pair:
    """Set up a training step with one of four units active, and a stock step."""
    return _train_pair(TOP1, options)


def infer_pair(options: Options) -> Pair:
    """Set up predictions with assembled weights, and stock predictions."""
    cfg, batches = set_up([_TASK], options, size=512, depth=50)
    model = build_gppf(cfg, _UNITS, TOP2, options).eval()
    stock = build_stock(cfg, _TASK, options).eval()

    @torch.no_grad()
    def ours() -> None:
        model.predict(_TASK, batches[_TASK])

    @torch.no_grad()
    def theirs() -> None:
        stock.test_step(batches[_TASK])

    return Pair({"lego": ours, "stock": theirs})


def lego_over_plain_train(options: Options) -> list[Figure]:
    """Compare training steps, 4 units top-2."""
    times = interleave(top2_pair(options).calls, options)
    what = "training step, 4 units top-2 / stock backbone: ResNet-50, 2x512x512"
    goal = Goal("<=", 1.03 if options.device == "cuda" else 1.08)
    return [ratio_figure("lego_over_plain_train", what, times, goal)]


def lego_over_plain_train_top1(options: Options) -> list[Figure]:
    """Compare training steps, 4 units top-1."""
    times = interleave(top1_pair(options).calls, options)
    what = "the same, top-1"
    return [ratio_figure("lego_over_plain_train_top1", what, times, Goal("<=", 1.02))]


def lego_over_plain_infer(options: Options) -> list[Figure]:
    """Compare predictions, with the assembled weights in the cache."""
    times = interleave(infer_pair(options).calls, options)
    what = "prediction, 4 units top-2, assembled and cached / stock"
    return [ratio_figure("lego_over_plain_infer", what, times, Goal("<=", 1.00))]
