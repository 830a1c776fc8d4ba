"""One figure of the benchmark and its goal."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """What a figure should be: a bound that this project set itself.

    Attributes:
        relation: How the figure compares with the bound.
        bound: The bound.

    Examples:
        >>> Goal("<=", 1.08).is_met(1.084)  # 1.08 to two digits
        True
    """

    relation: Literal["<=", ">=", "="]
    bound: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value, rounded to two digits like the bound, reaches it."""
        value = round(value, 2)
        return {
            "<=": value <= self.bound,
            ">=": value >= self.bound,
            "=": value == self.bound,
        }[self.relation]


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    Attributes:
        key: Its name.
        what: What it is, in words.
        value: The figure, or None where it was not measured.
        goal: Its goal. Defaults to None, none.
        unit: Its unit. Defaults to none: a ratio.
        spread: The quartiles of the rounds' figures. Defaults to None, where there was
            one round.
        sides: What was compared, by its name, with its unit: ``{'SIMT': '812 ms'}``.
        note: What else is to be said, such as why it was not measured.
    """

    key: str
    what: str
    value: float | None
    goal: Goal | None = None
    unit: str = ""
    spread: tuple[float, float] | None = None
    sides: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def result(self) -> str:
        """Whether the goal was reached."""
        if self.value is None:
            return "not measured"
        if self.goal is None:
            return "no goal"
        return "reached" if self.goal.is_met(self.value) else "missed"

    def to_dict(self) -> dict[str, Any]:
        """Return what is written to a JSON file."""
        return {**asdict(self), "result": self.result}
