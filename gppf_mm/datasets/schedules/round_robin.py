"""One task after the other."""

from gppf_mm.registry import DATA_SAMPLERS

from .base import TaskSchedule


@DATA_SAMPLERS.register_module()
class RoundRobinSchedule(TaskSchedule):
    """Each step trains one task, in the order of `model.tasks` and over again.

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches of a task in each step that trains it, by task. Defaults to
            None, 1 for each.
    """

    def trained(self, step: int, seed: int) -> tuple[str, ...]:
        """Return the task whose turn it is."""
        return (self.tasks[step % len(self.tasks)],)

    def turns(self, step: int, seed: int) -> dict[str, int]:
        """Return the whole rounds, and the round that has begun."""
        rounds, rest = divmod(step, len(self.tasks))
        return {task: rounds + (place < rest) for place, task in enumerate(self.tasks)}

    def shares(self) -> dict[str, float]:
        """Return the same share for each task."""
        return dict.fromkeys(self.tasks, 1 / len(self.tasks))
