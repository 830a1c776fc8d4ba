"""Several batches of one task in one step."""

from collections.abc import Sequence
from typing import Any


class Batches(list[Any]):
    """The batches of a task that gets more than one in a step.

    The task's loss is their mean, so that more batches weigh no more than one large
    one. A type of its own, since a batch may be a list itself.

    Args:
        batches: Batches as the task's stock loader yields them, at least one.

    Examples:
        >>> list(batches_of(Batches([{"inputs": 1}, {"inputs": 2}])))
        [{'inputs': 1}, {'inputs': 2}]
        >>> batches_of({"inputs": 1})
        [{'inputs': 1}]
    """


def batches_of(data: Any) -> Sequence[Any]:
    """Return a task's batches in a step, one or several, as a sequence.

    Args:
        data: A batch, or `Batches`.
    """
    return data if isinstance(data, Batches) else [data]
