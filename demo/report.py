"""What the demo reached: the table, the goals, and the comparison with mmdet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """What a task has to reach.

    Attributes:
        task: The task.
        model: The stock model that is trained.
        library: The library it comes from.
        metric: The stock metric, as the test tool names it.
        threshold: The value to exceed, in per cent.
        scale: Factor that brings the metric to per cent.
    """

    task: str
    model: str
    library: str
    metric: str
    threshold: float
    scale: float = 1.0


GOALS = (
    Goal("det", "RetinaNet", "mmdet", "det/coco/bbox_mAP_50", 50, scale=100),
    Goal("seg", "FCN", "mmseg", "seg/mIoU", 60),
    Goal("cls", "ImageClassifier", "mmpretrain", "cls/accuracy/top1", 90),
)


def make_table(
    metrics: Mapping[str, float], chance: Mapping[str, float]
) -> tuple[Table, list[str]]:
    """Compare the metrics with chance and with the goals.

    Args:
        metrics: The metrics by name.
        chance: What a model that has learnt nothing reaches, by task, in per cent.

    Returns:
        The table, and a sentence for each goal that was missed.
    """
    title = "Three tasks, one lego bank: validation images, per cent"
    # Without vertical rules, to fit 80 columns.
    table = Table(title=title, box=SIMPLE_HEAD)
    for heading in ("task", "library", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("value", "chance level", "goal"):
        table.add_column(heading, justify="right", no_wrap=True)
    missed = []
    for goal in GOALS:
        value = goal.scale * metrics[goal.metric]
        reached = value > goal.threshold
        verdict = "[green]reached[/]" if reached else "[red]missed[/]"
        table.add_row(
            goal.task,
            goal.library,
            goal.metric.removeprefix(f"{goal.task}/"),
            f"[bold]{value:.1f}[/]",
            f"{chance[goal.task]:.1f}",
            f"> {goal.threshold:g} {verdict}",
        )
        if not reached:
            missed.append(
                f"{goal.metric} is {value:.1f}, not above {goal.threshold:g}."
            )
    return table, missed


def compare(
    ours: Mapping[str, float], theirs: Mapping[str, float], task: str
) -> list[str]:
    """Compare a task's metrics with those of its exported model in its library.

    Args:
        ours: The metrics of all tasks.
        theirs: The metrics that the stock library reported.
        task: The task.

    Returns:
        A sentence for each metric that differs, or is missing.
    """
    expected = {
        name.removeprefix(f"{task}/"): value
        for name, value in ours.items()
        if name.startswith(f"{task}/")
    }
    return [
        f"{name} is {theirs.get(name)} in the stock library and {value} here."
        for name, value in expected.items()
        if theirs.get(name) != value
    ]


def read_stock_metrics(work_dir: Path) -> dict[str, float]:
    """Read what a stock test tool wrote into its work dir, the latest if several."""
    files = sorted(work_dir.glob("2*/2*.json"))
    return json.loads(files[-1].read_text()) if files else {}
