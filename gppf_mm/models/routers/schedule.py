"""Numbers that change with the training iteration."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

from gppf_mm.utils.messages import is_number

Interpolation = Literal["linear", "geometric", "step"]
Points = Sequence[tuple[int, float]]


class Schedule:
    """A number as a function of the iteration.

    Args:
        key: The config key, for errors.
        value: A number; or pairs of an iteration and the number there, with rising
            iterations. Before the first pair and after the last the number stays.
        interpolation: Between two pairs, ``'linear'``; ``'geometric'``, for numbers
            above 0 that count by their ratio; or ``'step'``, the number of the
            earlier pair. Defaults to ``'linear'``.
        allowed: Whether a number may stand there. Defaults to None, any finite one.
        expected: What may stand there, in the plural, for errors. Defaults to
            ``'numbers'``.

    Raises:
        ValueError: If the value is neither, or a number is not allowed.

    Examples:
        >>> schedule = Schedule("temperature", [(0, 4.0), (100, 1.0)], "geometric")
        >>> schedule(0), schedule(50), schedule(1000)
        (4.0, 2.0, 1.0)
        >>> Schedule("k", [(0, 4), (100, 2)], "step")(99)
        4
    """

    def __init__(
        self,
        key: str,
        value: float | Points,
        interpolation: Interpolation = "linear",
        allowed: Callable[[float], bool] | None = None,
        expected: str = "numbers",
    ) -> None:
        pairs: Any = [(0, value)] if is_number(value) else value
        if not _are_points(pairs) or not all(
            math.isfinite(number) and (allowed is None or allowed(number))
            for _, number in pairs
        ):
            raise ValueError(
                f"`{key}` is {value!r}; expected one of {expected}, or pairs of an "
                "iteration and such a number, with iterations that rise from 0 or "
                "later, as in [(0, ...), (1000, ...)]."
            )
        self.points: list[tuple[int, Any]] = [
            (int(iteration), number) for iteration, number in pairs
        ]
        self.interpolation = interpolation

    @property
    def numbers(self) -> list[Any]:
        """The numbers of the pairs, in their order."""
        return [number for _, number in self.points]

    @property
    def end(self) -> int:
        """The iteration from which the number stays."""
        return self.points[-1][0]

    def __call__(self, step: int) -> Any:
        """Return the number at an iteration."""
        if step < self.points[0][0]:
            return self.points[0][1]
        for (begin, first), (end, last) in pairwise(self.points):
            if step < end:
                passed = (step - begin) / (end - begin)
                if self.interpolation == "linear":
                    return first + (last - first) * passed
                if self.interpolation == "geometric":
                    return first * (last / first) ** passed
                return first
        return self.points[-1][1]


def _are_points(value: Any) -> bool:
    """Return whether these are pairs of whole, rising iterations and numbers."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            return False
        if not all(map(is_number, pair)):
            return False
        if not math.isfinite(pair[0]) or int(pair[0]) != pair[0] or pair[0] < 0:
            return False
    return all(one[0] < other[0] for one, other in pairwise(value))
