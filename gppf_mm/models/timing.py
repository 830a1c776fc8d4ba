"""How long each task takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor


class TaskTimer:
    """Measures the seconds of each task's forward and backward passes.

    On a GPU, which works behind the program, by its own events; they are read at the
    next iteration, when they have long happened, so that nothing has to wait. The
    values are then those of the iteration before.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._events: dict[str, tuple[torch.cuda.Event, torch.cuda.Event]] = {}

    @contextmanager
    def measure(self, task: str, device: torch.device) -> Iterator[None]:
        """Measure what a task does inside the ``with`` block.

        Args:
            task: The task.
            device: Where it does that.
        """
        if device.type != "cuda":
            begin = perf_counter()
            yield
            self._seconds[task] = perf_counter() - begin
            return
        previous = self._events.get(task)
        if previous is not None and previous[1].query():
            self._seconds[task] = previous[0].elapsed_time(previous[1]) / 1000
        events = (
            torch.cuda.Event(enable_timing=True),
            torch.cuda.Event(enable_timing=True),
        )
        events[0].record()
        yield
        events[1].record()
        self._events[task] = events

    def read(self, task: str) -> dict[str, Tensor]:
        """Return the value to log, ``step_time``, as soon as there is one."""
        if task not in self._seconds:
            return {}
        return {"step_time": torch.tensor(self._seconds[task])}

    def __deepcopy__(self, memo: dict) -> "TaskTimer":
        # Events cannot be copied, and a copy of the model has measured nothing.
        return TaskTimer()
