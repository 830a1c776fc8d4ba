"""Every task in every step."""

from gppf_mm.registry import DATA_SAMPLERS

from .base import TaskSchedule


@DATA_SAMPLERS.register_module()
class EveryTaskSchedule(TaskSchedule):
    """Single Iteration Multiple Tasks: each step trains all tasks (GPPF).

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches of a task in a step, by task. Defaults to None, 1 for each.
    """

    def trained(self, step: int, seed: int) -> tuple[str, ...]:
        """Return all tasks."""
        return self.tasks

    def turns(self, step: int, seed: int) -> dict[str, int]:
        """Return the number of steps for each task."""
        return dict.fromkeys(self.tasks, step)

    def shares(self) -> dict[str, float]:
        """Return 1 for each task."""
        return dict.fromkeys(self.tasks, 1.0)
