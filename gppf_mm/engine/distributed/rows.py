"""Averaging the tasks' own gradients over the ranks, where they are kept apart."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn

from gppf_mm.models.gradients import GradientRows

from .averaging import average
from .control import ControlGroup


@dataclass(frozen=True)
class _Sent:
    """A task's gradients on their way."""

    task: str
    parameters: list[nn.Parameter]
    present: list[bool]
    works: list[distributed.Work]


class RowReducer:
    """Averages each task's row once per optimizer step, while the next task computes.

    What combines the rows is not linear, so that every rank needs the average of each.

    Args:
        rows: The gradients of each task; they are averaged in place.
        control: Carries the ranks' small messages.
    """

    def __init__(self, rows: GradientRows, control: ControlGroup) -> None:
        self._rows = rows
        self._control = control
        # What each task has trained since the last optimizer step, equal on all ranks.
        self._trained: dict[str, dict[nn.Parameter, None]] = {}
        self._sent: list[_Sent] = []

    def end_task(
        self, task: str, parameters: Iterable[nn.Parameter], updates: bool
    ) -> None:
        """End a task's backward passes.

        Args:
            task: The task.
            parameters: The shared parameters that its plan activates, the same list on
                all ranks.
            updates: Whether the optimizer steps next: the row is final, and sent.
        """
        self._trained.setdefault(task, {}).update(dict.fromkeys(parameters))
        if updates:
            self._send(task)

    def finish(self) -> None:
        """Wait for the averages, and begin the next optimizer step.

        A gradient that a rank lacks counts as zero; what no rank has is left out.
        """
        done = {sent.task for sent in self._sent}
        for task in self._trained:
            if task not in done:
                self._send(task)
        flags = iter(
            self._control.any_of([flag for sent in self._sent for flag in sent.present])
        )
        for sent in self._sent:
            for work in sent.works:
                work.wait()
            for parameter in sent.parameters:
                if not next(flags):
                    del self._rows.of(sent.task)[parameter]
        self._average_losses()
        self._trained, self._sent = {}, []

    def _send(self, task: str) -> None:
        row, parameters = self._rows.of(task), list(self._trained[task])
        present = [parameter in row for parameter in parameters]
        kinds: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
        for parameter in parameters:
            kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
        works = []
        for members in kinds.values():
            averages, work = average(
                [
                    row[item] if item in row else torch.zeros_like(item)
                    for item in members
                ]
            )
            works.append(work)
            row.update(zip(members, averages, strict=True))
        self._sent.append(_Sent(task, parameters, present, works))

    def _average_losses(self) -> None:
        losses = self._rows.losses
        # Equal on all ranks: a task whose loss was not finite is dropped on all.
        tasks = [task for task in self._trained if task in losses]
        if tasks:
            averages, work = average([losses[task] for task in tasks])
            work.wait()
            losses.update(zip(tasks, averages, strict=True))
