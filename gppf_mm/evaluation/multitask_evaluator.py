"""Several stock evaluators as one."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log

from gppf_mm.utils.messages import check_mapping, check_names


@dataclass(frozen=True)
class MeanItem:
    """What one task adds to the mean.

    Attributes:
        metric: The metric's name, as the stock evaluator reports it.
        scale: Factor that brings it to per cent; 100 for mmdet's average precision,
            which is a fraction. Defaults to 1.
    """

    metric: str
    scale: float = 1.0


class MultiTaskEvaluator:
    """Evaluates each task by its stock metrics, named ``<task>/<metric>``.

    A metric that starts with the task's name already, as ``coco/bbox_mAP`` of a task
    ``coco``, keeps its name.

    Args:
        evaluators: The stock evaluator of each task.
        mean: The metrics whose average is reported as ``mean``, by task: each a dict
            with ``metric`` and optionally ``scale``. Defaults to None, no mean.
        where: The config key of the mean, named in errors. Defaults to
            ``'val_cfg.mean'``.

    Raises:
        TypeError: If ``mean`` has no dict for a task.
        ValueError: If it names an unknown task or key, or no metric.
    """

    def __init__(
        self,
        evaluators: Mapping[str, Evaluator],
        mean: Mapping[str, Mapping[str, Any]] | None = None,
        where: str = "val_cfg.mean",
    ) -> None:
        self.evaluators = dict(evaluators)
        self._where = where
        check_names(where, mean or {}, self.evaluators)
        for task, item in (mean or {}).items():
            check_mapping(f"{where}.{task}", item, "dict(metric='mIoU')")
            check_names(f"{where}.{task}", item, ("metric", "scale"))
            if "metric" not in item:
                raise ValueError(
                    f"`{where}.{task}.metric` is missing; expected the name of the "
                    "task's metric that counts, such as 'mIoU'."
                )
        self.mean = {task: MeanItem(**item) for task, item in (mean or {}).items()}

    def process(self, task: str, data_samples: Sequence, data_batch: Any) -> None:
        """Hand one batch of predictions to its task's evaluator.

        Args:
            task: The task.
            data_samples: The stock data samples with predictions.
            data_batch: The batch they were made from.
        """
        self.evaluators[task].process(data_samples=data_samples, data_batch=data_batch)

    def evaluate(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Compute the metrics of all tasks.

        Args:
            sizes: Samples in each task's set.

        Returns:
            The metrics by name, and ``mean`` if it was asked for. A task whose metrics
            report nothing counts as 0 in it.

        Raises:
            ValueError: If a task reported other metrics than that of the mean.
        """
        metrics: dict[str, Any] = {}
        summands = []
        for task, evaluator in self.evaluators.items():
            found = evaluator.evaluate(sizes[task])
            metrics.update(
                {metric_name(task, name): value for name, value in found.items()}
            )
            if task in self.mean:
                summands.append(self._summand(task, found))
        if summands:
            metrics["mean"] = sum(summands) / len(summands)
        return metrics

    def _summand(self, task: str, found: Mapping[str, Any]) -> float:
        item = self.mean[task]
        if not found:
            # mmdet's CocoMetric does so when nothing was detected.
            print_log(
                f"Task {task!r} reported no metric; it counts as 0 in the mean.",
                logger="current",
                level=logging.WARNING,
            )
            return 0.0
        check_names(f"{self._where}.{task}.metric", [item.metric], found)
        return item.scale * float(found[item.metric])


def metric_name(task: str, name: str) -> str:
    """Prefix a stock metric's name by its task.

    Examples:
        >>> metric_name("ade", "mIoU"), metric_name("coco", "coco/bbox_mAP")
        ('ade/mIoU', 'coco/bbox_mAP')
    """
    return name if name.startswith(f"{task}/") else f"{task}/{name}"
