"""What came out of a check."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "failed", "skipped"]


@dataclass
class RecipeCheck:
    """The outcome of checking one recipe.

    Attributes:
        recipe: The recipe's name.
        status: ``'ok'``, ``'failed'`` or ``'skipped'``.
        stage: The stage that failed, else empty.
        reason: Why it failed or was skipped, one line, else empty.
        scope: The library.
        kind: What the recipe is for, see `recipe_kind`.
        family: The family of its backbone, see `backbone_family`.
        image_size: Height and width of the images, in pixels.
        difference: The largest relative difference between what the task predicts
            inside and in its stock library.
        compared: How many non-zero numbers that is the largest over.
        seconds: How long the check took.
    """

    recipe: str
    status: Status = "ok"
    stage: str = ""
    reason: str = ""
    scope: str = ""
    kind: str = ""
    family: str = ""
    image_size: int = 0
    difference: float = 0.0
    compared: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Return the outcome in one line, without the recipe's name."""
        if self.status == "failed":
            return f"failed: {self.stage}: {self.reason}"
        return f"skipped: {self.reason}" if self.status == "skipped" else "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome in plain types."""
        return asdict(self)


def first_line(error: BaseException, limit: int = 240) -> str:
    """Return the first line of an error's message, or its type where it has none.

    Args:
        error: The error.
        limit: The longest line. Defaults to 240 characters.
    """
    if "can't allocate memory" in str(error):
        return "needs more memory than the limit"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
