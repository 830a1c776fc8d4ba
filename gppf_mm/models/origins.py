"""Where the schedules of tasks that were trained before go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .network import LegoNetwork


class StepOrigins(nn.Module):
    """The step at which each task's routing schedule stood when its run began.

    A task that comes from another run goes on from there, and a task that is kept
    untrained stands still, so that its plan stays what it was (our choice). The origins
    are part of the checkpoint.

    Args:
        tasks: Names of the tasks.
        kept: Those that are not trained.

    Examples:
        >>> origins = StepOrigins(["coco", "shop", "new"], kept=["coco"])
        >>> origins.set("coco", 500)
        >>> origins.set("shop", 500)
        >>> [origins.position(task, 20) for task in ("coco", "shop", "new")]
        [500, 520, 20]
    """

    def __init__(self, tasks: Sequence[str], kept: Sequence[str] = ()) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self._steps = [0] * len(self.tasks)
        self._moves = [task not in kept for task in self.tasks]
        self.register_buffer("steps", torch.tensor(self._steps))
        self.register_buffer("moves", torch.tensor(self._moves))

    def set(self, task: str, step: int) -> None:
        """Say where a task's schedule stands."""
        index = self.tasks.index(task)
        self._steps[index] = step
        self.steps[index] = step

    def position(self, task: str, step: int) -> int:
        """Return where a task's schedule is at a step of the present run."""
        index = self.tasks.index(task)
        return self._steps[index] + step * self._moves[index]

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._steps, self._moves = self.steps.tolist(), self.moves.tolist()


def saved_positions(state: Mapping[str, Tensor], tasks: Sequence[str]) -> list[int]:
    """Return where the tasks' schedules stood when a shared network was saved.

    Args:
        state: The network's state dict.
        tasks: Its tasks, in their order.
    """
    step = int(state.get("step", 0))
    if "origins.steps" not in state:
        return [step] * len(tasks)
    return (state["origins.steps"] + step * state["origins.moves"].long()).tolist()


def fit_origins(network: "LegoNetwork", state: Mapping[str, object]) -> None:
    """Let a shared network have origins if the state that it will load has them.

    Args:
        network: The network, changed in place.
        state: The state dict of a multi-task model.
    """
    found = "network.origins.steps" in state
    if found and network.origins is None:
        network.origins = StepOrigins(network.router.tasks)
    elif not found:
        network.origins = None
