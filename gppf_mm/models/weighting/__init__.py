"""How much each task counts in a step, by the methods of torchjd.

A *scalarizer* of torchjd combines the tasks' losses, whose derivative weighs all of a
task's gradients (`LossWeighting`). An *aggregator* combines the tasks' gradients on the
parameters that they have in common (`GradientAggregation`). `build_weighting` makes
either from ``model.weighting``:

    >>> from gppf_mm.models.weighting import build_weighting
    >>> weighting = build_weighting(dict(type="UW"), ("det", "seg"))
    >>> losses = dict(det=torch.tensor(2.0), seg=torch.tensor(4.0))
    >>> weights = weighting.weigh(losses, step=0, scale=1.0)
    >>> {task: weight.item() for task, weight in weights.items()}
    {'det': 0.5, 'seg': 0.5}
"""

import torch  # noqa: F401  (for the example)

from .aggregation import GradientAggregation
from .base import Weighting
from .build import build_weighting
from .losses import LossWeighting
from .scheduled import ScheduledWeighting

__all__ = [
    "GradientAggregation",
    "LossWeighting",
    "ScheduledWeighting",
    "Weighting",
    "build_weighting",
]
