"""A distributed SIMT step against one that uses stock DDP task by task."""

import statistics
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gppf_mm.models import GPPF
from gppf_mm.registry import MODEL_WRAPPERS

from .figure import Figure, Goal
from .options import Options
from .ranks import agree, run_ranks
from .steps import Step
from .tasks import (
    RECIPES,
    build_gppf,
    optimizer_for,
    set_up,
)
from .timing import Call, interleave, milliseconds, ratio_figure

# Fixed routes, two of four units: DDP takes the logits of a learned router for unused.
UNITS = 4
ACTIVE = dict(det=[0, 1], seg=[0, 2], cls=[0, 3])
ROUTES = dict(type="gppf_mm.FixedRouter", routes=ACTIVE)


# The longer edge of the images, in pixels: the smaller, the more reducing counts.
_SIZE, _SMALLER = 192, (128, 64)


def dp_over_naive(options: Options) -> list[Figure]:
    """Compare 2-process steps over gloo, at several sizes of the images."""
    what = (
        "SIMT data-parallel step, 2 processes / stock DDP, find_unused_parameters, "
        f"a sync per task; {_SIZE} pixels"
    )
    figures = [_figure("dp_over_naive", what, _SIZE, Goal("<=", 0.80), options)]
    for size in _SMALLER:
        what = f"the same, {size} pixels"
        figures.append(_figure(f"dp_over_naive_{size}", what, size, None, options))
    return figures


def _figure(
    key: str, what: str, size: int, goal: Goal | None, options: Options
) -> Figure:
    times = run_ranks(partial(time_ranks, size=size), options)
    alone = times.pop("no reduction")
    figure = ratio_figure(key, what, times, goal)
    sides = {**figure.sides, "no reduction": milliseconds(statistics.median(alone))}
    return replace(figure, sides=sides)


def time_ranks(options: Options, size: int) -> dict[str, list[float]]:
    """Time both sides in one of the ranks, and what no reduction can undercut."""
    ours, theirs = data_parallel_steps(options, size)
    alone = Step(ours.model.module, ours.data)
    sides: dict[str, Call] = {"SIMT": ours, "DDP": theirs, "no reduction": alone}
    calls = {name: together(call) for name, call in sides.items()}
    return interleave(calls, options, agree)


def data_parallel_steps(options: Options, size: int) -> tuple[Step, "NaiveStep"]:
    """Set up both steps in one of the ranks, for images of so many pixels a side."""
    cfg, batches = set_up(RECIPES, options, size=size)
    model = build_gppf(cfg, UNITS, ROUTES, options)
    wrapper = MODEL_WRAPPERS.build(dict(type="SIMTDataParallel", module=model))
    ours = Step(wrapper, batches)
    theirs = NaiveStep(build_gppf(cfg, UNITS, ROUTES, options), batches)
    return ours, theirs


def together(call: Call) -> Call:
    """Make a call start on all ranks at once."""

    def synchronised() -> None:
        distributed.barrier()
        call()

    return synchronised


class TaskLoss(nn.Module):
    """One task's loss as a forward pass, which is what DDP wraps.

    Args:
        model: The multi-task model.
    """

    def __init__(self, model: GPPF) -> None:
        super().__init__()
        self.model = model

    def forward(self, task: str, batch: Mapping[str, Any]) -> Tensor:
        """Return a task's loss."""
        with self.model.activate(task) as stock:
            data = stock.data_preprocessor(batch, True)
            return stock.parse_losses(stock(**data, mode="loss"))[0]


class NaiveStep:
    """A step in which stock DDP reduces all gradients after each task's backward pass.

    Args:
        model: The multi-task model.
        batches: A batch of each task.
    """

    def __init__(self, model: GPPF, batches: Mapping[str, Mapping[str, Any]]) -> None:
        self.batches = batches
        # As MMEngine's runner wraps a model, and with what several tasks need.
        self.losses = DistributedDataParallel(
            TaskLoss(model), broadcast_buffers=False, find_unused_parameters=True
        )
        self.optimizer: torch.optim.Optimizer = optimizer_for(model).optimizer

    def __call__(self) -> None:
        """Take the step."""
        for task, batch in self.batches.items():
            self.losses(task, batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
