"""Steps whose loss, or a task's weight, is NaN or Inf."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import Tensor


class NonFiniteGuard:
    """Finds losses and weights that are not finite, and ends a run of too many.

    Args:
        tasks: The tasks.
        patience: The run ends after so many steps in a row in which the same task's
            loss, or a weight that the task weighting gave, was not finite.

    Attributes:
        found: The tasks whose loss was not finite in the present step on this rank.
        total: Such steps of each task since the run began.
        total_unweighted: Steps since then in which a weight was not finite.
    """

    def __init__(self, tasks: Iterable[str], patience: int) -> None:
        if not isinstance(patience, (int, float)) or not patience >= 1:
            raise ValueError(
                f"`model.max_nonfinite` is {patience!r}; expected the number of steps "
                "in a row after which a loss or weight that is not finite ends the "
                "run, at least 1."
            )
        self.patience = patience
        self.found: list[str] = []
        self.total = Counter(dict.fromkeys(tasks, 0))
        self.total_unweighted = 0
        self._in_a_row = Counter(self.total)
        self._unweighted_in_a_row = 0
        self._trained: set[str] = set()

    def begin(self) -> None:
        """Begin a step."""
        self.found = []
        self._trained = set()

    def is_finite(self, task: str, loss: Tensor, batch: Any) -> bool:
        """Check a task's loss; remember and log one that is not finite.

        Args:
            task: The task.
            loss: Its loss, a scalar.
            batch: The batch, whose files are named in the log.
        """
        self._trained.add(task)
        if torch.isfinite(loss):
            return True
        self.found.append(task)
        print_log(
            f"The loss of task {task!r} is {loss.item()}; the step is skipped for all "
            f"parameters that it would change. Its samples: {_files(batch)}.",
            logger="current",
            level=logging.WARNING,
        )
        return False

    def settle(self, tasks: Iterable[str]) -> None:
        """End the step. Tasks that it did not train keep their counts.

        Args:
            tasks: The tasks that were skipped, on any rank.

        Raises:
            FloatingPointError: If a task was skipped too often in a row.
        """
        skipped = set(tasks)
        for task in [task for task in self.total if task in self._trained | skipped]:
            self._in_a_row[task] = self._in_a_row[task] + 1 if task in skipped else 0
            self.total[task] += task in skipped
            if self._in_a_row[task] >= self.patience:
                raise FloatingPointError(
                    f"The loss of task {task!r} was not finite in {self.patience} "
                    f"steps in a row, {self.total[task]} in all; the log names the "
                    "samples. "
                    "Its weights are those of before. Lower the learning rate or the "
                    f"task's `loss_weights.{task}`, clip gradients "
                    "(`optim_wrapper.clip_grad`), or look at those samples; "
                    "`model.max_nonfinite` is the number that is borne."
                )

    def settle_weights(
        self, method: str, weights: Mapping[str, Tensor], losses: Mapping[str, Tensor]
    ) -> bool:
        """Return whether a step has weights to be taken with; log and count if not.

        Args:
            method: What gave the weights.
            weights: The weights, by task. A step without any keeps the count.
            losses: The losses that they are for.

        Raises:
            FloatingPointError: If it happened too often in a row.
        """
        if not weights:
            return True
        bad = [task for task, weight in weights.items() if not weight.isfinite()]
        if not bad:
            self._unweighted_in_a_row = 0
            return True
        self._unweighted_in_a_row += 1
        self.total_unweighted += 1
        print_log(
            f"`model.weighting` ({method}) gives {_values(weights, bad)} as weights; "
            "the step is left out for all tasks. Their losses, times `loss_weights`: "
            f"{_values(losses, losses)}.",
            logger="current",
            level=logging.WARNING,
        )
        if self._unweighted_in_a_row >= self.patience:
            raise FloatingPointError(
                f"`model.weighting` ({method}) gave weights that are not finite in "
                f"{self.patience} steps in a row, {self.total_unweighted} in all, now "
                f"{_values(weights, bad)}; the log names the losses. The steps were "
                "left out: the model is that of before. Look at a task whose loss is "
                "0, negative or very large, or choose another method; "
                "`model.max_nonfinite` is the number that is borne."
            )
        return False


def _values(values: Mapping[str, Tensor], tasks: Iterable[str]) -> str:
    return ", ".join(f"{values[task].item():.6g} for {task!r}" for task in tasks)


def _files(batch: Any) -> str:
    samples = batch.get("data_samples") if isinstance(batch, dict) else None
    paths = [
        str(sample.get("img_path"))
        for sample in samples or ()
        if isinstance(sample, BaseDataElement) and sample.get("img_path")
    ]
    return ", ".join(paths) or "not named by the batch"
