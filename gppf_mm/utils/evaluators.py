"""The metrics in a stock evaluator's config."""

from collections.abc import Mapping, Sequence
from typing import Any


def metric_list(evaluator: Mapping | Sequence) -> list[Any]:
    """Return the metrics of an evaluator's config.

    Args:
        evaluator: A metric's config, several, or an evaluator's own config with
            ``metrics``.

    Examples:
        >>> metric_list(dict(type="Evaluator", metrics=dict(type="Accuracy")))
        [{'type': 'Accuracy'}]
    """
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        evaluator = evaluator["metrics"]
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
