"""Curves of the losses, as PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# For each variant the results of its seeds, as the runs wrote them.
Done = Mapping[str, Sequence[Mapping[str, Any]]]
_POINTS = 60


def draw_losses(done: Done, tasks: Sequence[str], path: Path) -> None:
    """Draw the loss of each task over its batches: mean over seeds, and spread.

    Args:
        done: The results.
        tasks: The tasks, eight at most.
        path: The PNG to write.
    """
    # Takes a second, which only who draws shall wait.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, task in zip(figure.subplots(2, 4).flat, tasks, strict=False):
        for name, results in done.items():
            places, values = seed_curves(results, task)
            if not places.size:
                continue
            mean = values.mean(0)
            # As in the tables; a single seed has none.
            spread = values.std(0, ddof=1) if len(values) > 1 else np.zeros_like(mean)
            (line,) = axes.plot(places, mean, label=name, linewidth=1.2)
            axes.fill_between(
                places, mean - spread, mean + spread, alpha=0.2, color=line.get_color()
            )
        axes.set(title=task, xlabel="batches", ylabel="loss", yscale="log")
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def seed_curves(
    results: Sequence[Mapping[str, Any]], task: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return a task's smoothed losses by seed, as far as all seeds have got.

    Args:
        results: The results of a variant's seeds.
        task: The task.

    Returns:
        Batches of the task, equal for all variants, whatever a step trains; and the
        losses up to there, a row for each seed.
    """
    losses = [[loss for _, loss in item["losses"].get(task, ())] for item in results]
    # A run that diverged ended early, and its end is no other's.
    batches = min(map(len, losses), default=0)
    values = np.array([smoothed(curve[:batches]) for curve in losses])
    return np.linspace(0, batches, values.shape[-1] + 1)[1:], values


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return means over equal stretches of a curve, 60 at most, without NaN and Inf."""
    stretches = np.array_split(np.array(losses, float), min(_POINTS, len(losses)) or 1)
    return [float(part[np.isfinite(part)].mean()) for part in stretches if part.size]


def draw_rates(scores: Mapping[str, Mapping[float, float]], path: Path) -> None:
    """Draw the mean metric over the learning rates; a diverged run has no point.

    Args:
        scores: For each variant its score by learning rate.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, values in scores.items():
        finite = {lr: value for lr, value in values.items() if math.isfinite(value)}
        axes.plot(list(finite), list(finite.values()), "o-", label=name)
    axes.set(xlabel="learning rate", ylabel="mean over tasks, tune", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
