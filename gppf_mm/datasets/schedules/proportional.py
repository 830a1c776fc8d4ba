"""One task drawn in proportion to the size of its set."""

from collections.abc import Mapping

from gppf_mm.registry import DATA_SAMPLERS

from .temperature import TemperatureSchedule


@DATA_SAMPLERS.register_module()
class ProportionalSchedule(TemperatureSchedule):
    """Each step trains one task, drawn in proportion to the size of its training set.

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches of a task in each step that trains it, by task. Defaults to
            None, 1 for each.
    """

    def __init__(
        self, sizes: Mapping[str, int], batches: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(sizes, batches, temperature=1.0)
