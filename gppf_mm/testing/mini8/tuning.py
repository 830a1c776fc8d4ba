"""One learning rate for each variant, chosen on the tune split."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gppf_mm.utils.messages import check_names

from .run import Run
from .transfer import FRACTION_MARK

# What a first look over 1e-3 to 1.6e-2 left; see docs/en/mini8.md.
GRID = (8e-3, 1.6e-2)
DEFAULT_LR = 8e-3
# Not among the seeds that are reported.
TUNE_SEED = 100


def parse_rates(items: Sequence[str], variants: Iterable[str]) -> dict[str, float]:
    """Read learning rates that were chosen elsewhere.

    Args:
        items: Each ``'VARIANT=RATE'``.
        variants: The variants that there are.

    Raises:
        ValueError: If an item has another form, a rate is not above zero, or there is
            no such variant.

    Examples:
        >>> parse_rates(["single=1.6e-2"], ["single", "shared"])
        {'single': 0.016}
    """
    rates = {}
    for item in items:
        name, _, text = item.rpartition("=")
        try:
            rates[name] = float(text)
        except ValueError:
            rates[name] = math.nan
        if not (name and 0 < rates[name] < math.inf):
            raise ValueError(
                f"`--rates` has {item!r}; expected VARIANT=RATE with a rate above "
                "zero, like single=1.6e-2."
            )
    check_names("--rates", rates, variants)
    return rates


def points(result: Mapping[str, Any]) -> float:
    """Return a result's mean over the tasks; a diverged one is the worst."""
    if result["diverged"]:
        return -math.inf
    metrics = result["metrics"]
    return sum(metrics.values()) / len(metrics)


def best_lr(scores: Mapping[float, float]) -> float:
    """Return the learning rate of the best score, the lower one of equals."""
    return max(sorted(scores), key=scores.__getitem__)


def scores_of(runs: Sequence[Run]) -> dict[float, float]:
    """Return the scores of the runs that are done, by learning rate."""
    found = {run.lr: run.result() for run in runs}
    return {lr: points(result) for lr, result in found.items() if result is not None}


class LearningRates:
    """The chosen learning rates, kept in a JSON file.

    Args:
        path: The file.
        default: The rate where none was chosen. Defaults to 8e-3.
        given: Rates by variant that go before those that were chosen.
        heldout: Another set that transfer variants fine-tune on, whose rates are kept
            beside those of the usual one. Defaults to none.
    """

    def __init__(
        self,
        path: Path,
        default: float = DEFAULT_LR,
        given: Mapping[str, float] | None = None,
        heldout: str = "",
    ) -> None:
        self.path = path
        self.default = default
        self.given = dict(given or {})
        self.heldout = heldout
        self._found: dict[str, Any] = (
            json.loads(path.read_text()) if path.is_file() else {}
        )

    def __contains__(self, variant: str) -> bool:
        return variant in self.given or self._key(variant) in self._found

    def __getitem__(self, variant: str) -> float:
        if variant in self.given:
            return self.given[variant]
        return self._found.get(self._key(variant), dict(lr=self.default))["lr"]

    def tried(self, variant: str) -> Mapping[str, float]:
        """Return the scores of a variant's search by learning rate."""
        return self._found.get(self._key(variant), {}).get("tried", {})

    def note(self, variant: str, scores: Mapping[float, float]) -> None:
        """Choose a variant's rate by its scores, and write it."""
        tried = {f"{lr:g}": round(value, 2) for lr, value in sorted(scores.items())}
        self._found[self._key(variant)] = dict(lr=best_lr(scores), tried=tried)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._found, indent=2) + "\n")

    def _key(self, variant: str) -> str:
        if self.heldout and FRACTION_MARK in variant:
            return f"{variant} on {self.heldout}"
        return variant
