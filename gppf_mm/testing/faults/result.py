"""What came of the trials."""

from dataclasses import dataclass, field

from .moments import Segment


@dataclass
class Hit:
    """A fault that struck.

    Attributes:
        kind: Its kind's name.
        event: What the run was doing.
        iteration: In which step.
        code: The exit code.
        seconds: From the fault to the end of the run's last process.
        partial: Whether half a checkpoint file was left.
        resumed_from: The step that the run was resumed from.
        wrong: What was not as it has to be, empty if nothing.
    """

    kind: str
    event: str
    iteration: int
    code: int | None
    seconds: float
    partial: bool
    resumed_from: int | None = None
    wrong: list[str] = field(default_factory=list)


@dataclass
class TrialResult:
    """What came of a trial.

    Attributes:
        number: The trial's number.
        start: How its runs were started.
        hits: The faults that struck; one that came after the end is none.
        differing: Parts of the final state that differ from the uninterrupted run's.
        wrong: What else went wrong at the end.
    """

    number: int
    start: str
    hits: list[Hit]
    differing: list[str]
    wrong: list[str]

    @property
    def good(self) -> bool:
        """Whether all was as it has to be."""
        return not (self.differing or self.wrong or any(h.wrong for h in self.hits))


@dataclass(frozen=True)
class Reference:
    """The uninterrupted run.

    Attributes:
        digests: What it ended with.
        parts: Its segments.
    """

    digests: dict[str, str]
    parts: list[Segment]
