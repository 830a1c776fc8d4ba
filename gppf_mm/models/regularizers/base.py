"""What every regularizer of routes has in common."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from ..routers.schedule import Points, Schedule


class RoutingRegularizer(nn.Module):
    """A function of the tasks' probabilities over the units; smaller is better.

    Args:
        weight: Factor on it, from 0; or pairs ``(iteration, factor)``, linear in
            between.

    Attributes:
        name: It is logged, without the weight, as ``router/<name>``.
    """

    name: str

    def __init__(self, weight: float | Points) -> None:
        super().__init__()
        self.weight = Schedule(
            f"lego.regularizers.{type(self).__name__}.weight",
            weight,
            allowed=lambda number: number >= 0,
            expected="numbers from 0",
        )

    @abstractmethod
    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the value.

        Args:
            probabilities: Of shape ``(tasks, groups, K)``, with the sum 1 over the
                units; those that every task has in its mix are left out. The groups
                have as many units, and all of these tasks have them; others come in
                another call, and count in the mean by their number.

        Returns:
            A scalar.
        """

    def choose(self, key: str, found: str, allowed: Sequence[str]) -> str:
        """Return an option's value if it is allowed.

        Args:
            key: The option.
            found: Its value.
            allowed: The values that it may have.

        Raises:
            ValueError: If it has another.
        """
        if found not in allowed:
            raise ValueError(
                f"`lego.regularizers.{type(self).__name__}.{key}` is {found!r}; "
                f"expected one of {tuple(allowed)}."
            )
        return found
