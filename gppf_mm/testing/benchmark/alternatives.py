"""The same three tasks, written with what a user would pick instead."""

import gc
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from . import libmtl
from .figure import Figure
from .memory import MIB, peak_bytes
from .options import Options
from .steps import Step
from .tasks import (
    RECIPES,
    SHARED,
    build_gppf,
    build_stock,
    held_by,
    optimizer_for,
    set_up,
)
from .timing import Pair, interleave, ratio_figure

_OURS = "SIMT"


class SummedStep:
    """A step as one would write it with MMEngine: one graph, the losses' sum.

    The stock models have one backbone, which normalises the images of all tasks by the
    same statistics.

    Args:
        cfg: The multi-task config.
        batches: A batch of each task.
        options: Gives the device and the seed.
    """

    def __init__(
        self, cfg: Config, batches: Mapping[str, Mapping], options: Options
    ) -> None:
        self.batches = batches
        self.model = nn.ModuleDict(
            {task: build_stock(cfg, task, options) for task in batches}
        )
        # The outputs of them all; each head takes those that it is configured for.
        widest = self.model["det"].backbone
        for stock in self.model.values():
            if len(stock.backbone.out_indices) == len(widest.out_indices):
                stock.backbone = widest
            else:
                stock.backbone = LastOutput(widest)
        self.optimizer: OptimWrapper = optimizer_for(self.model)

    def __call__(self) -> None:
        """Take the step."""
        total: Tensor | float = 0.0
        for task, batch in self.batches.items():
            stock = self.model[task]
            data = stock.data_preprocessor(batch, True)
            total = total + stock.parse_losses(stock(**data, mode="loss"))[0]
        self.optimizer.update_params(total)

    def held(self) -> list[Tensor]:
        """List what stays in memory between two steps."""
        return held_by(self.model, self.optimizer)


class LastOutput(nn.Module):
    """A backbone of which a classifier takes the last output alone.

    Args:
        backbone: The backbone.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return the last feature map."""
        return (self.backbone(images)[-1],)


def _sides(name: str, make: Callable[..., Any], options: Options) -> dict[str, Any]:
    cfg, batches = set_up(RECIPES, options, size=256)
    ours = Step(build_gppf(cfg, 1, SHARED, options), batches)
    return {_OURS: ours, name: make(cfg, batches, options)}


def _summed(options: Options) -> dict[str, Any]:
    return _sides("summed losses", SummedStep, options)


def _libmtl(options: Options) -> dict[str, Any]:
    return _sides("LibMTL", libmtl.LibMTLStep, options)


def summed_pair(options: Options) -> Pair:
    """Set up a SIMT step, and one that sums the losses."""
    return Pair(_summed(options))


def libmtl_pair(options: Options) -> Pair:
    """Set up a SIMT step, and one of LibMTL."""
    return Pair(_libmtl(options))


def summed_loss(options: Options) -> list[Figure]:
    """Compare with a hand-written MMEngine loop that sums the losses."""
    return _compare("summed_loss", _summed(options), options)


def libmtl_loss(options: Options) -> list[Figure]:
    """Compare with LibMTL, where it is installed."""
    reason = libmtl.missing()
    if reason:
        return [
            Figure(f"libmtl_{kind}", _what(kind, "LibMTL"), None, note=reason)
            for kind in ("time", "peak")
        ]
    return _compare("libmtl", _libmtl(options), options)


def _compare(key: str, steps: Mapping[str, Any], options: Options) -> list[Figure]:
    times = interleave(steps, options)
    name = next(name for name in steps if name != _OURS)
    peaks = {}
    for side, step in steps.items():
        gc.collect()
        peaks[side] = peak_bytes(step, step.held(), options)
    return [
        ratio_figure(f"{key}_time", _what("time", name), times, None),
        Figure(
            f"{key}_peak",
            _what("peak", name),
            peaks[_OURS] / peaks[name],
            sides={side: f"{peak / MIB:.0f} MiB" for side, peak in peaks.items()},
        ),
    ]


def _what(kind: str, name: str) -> str:
    measure = dict(time="step time", peak="peak memory")[kind]
    return f"{measure}, SIMT step of 3 tasks (1 unit) / {name}"
