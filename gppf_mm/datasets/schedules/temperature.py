"""One task drawn with a probability that flattens the sizes of the sets."""

import math
from collections.abc import Mapping

from gppf_mm.registry import DATA_SAMPLERS

from .random_task import RandomSchedule


@DATA_SAMPLERS.register_module()
class TemperatureSchedule(RandomSchedule):
    """Each step trains one task, drawn in proportion to ``size ** (1 / temperature)``.

    Temperature 1 is proportional to the sizes; the higher it is, the more even
    (arXiv 1907.05019).

    Args:
        sizes: The samples in each task's training set, by task.
        batches: Batches of a task in each step that trains it, by task. Defaults to
            None, 1 for each.
        temperature: The temperature, positive. Defaults to 2 (our choice).

    Raises:
        ValueError: If the temperature is none.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        batches: Mapping[str, int] | None = None,
        temperature: float = 2.0,
    ) -> None:
        number = isinstance(temperature, (int, float))
        if not number or not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(
                f"`train_cfg.schedule.temperature` is {temperature!r}; expected a "
                "positive number: 1 draws tasks in proportion to their sizes, a "
                "higher one more evenly."
            )
        # Relative to the largest, so that a low temperature does not overflow.
        largest = max(sizes.values())
        weights = {
            task: (size / largest) ** (1 / temperature) for task, size in sizes.items()
        }
        total = sum(weights.values())
        super().__init__(
            sizes, batches, {task: weight / total for task, weight in weights.items()}
        )
