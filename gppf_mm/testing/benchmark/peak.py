"""Peak memory of a SIMT step against that of its largest task alone."""

import gc
from collections.abc import Iterable, Mapping

from mmengine.config import Config

from .figure import Figure, Goal
from .memory import MIB, peak_bytes
from .options import Options
from .steps import Step
from .tasks import RECIPES, TOP2, build_gppf, select, set_up

_UNITS = 4


def peak_over_max_task(options: Options) -> list[Figure]:
    """Compare the peak of a step over 3 tasks with the largest peak of one task."""
    cfg, batches = set_up(RECIPES, options, size=512, depth=50)
    together = _peak(cfg, batches, RECIPES, options)
    alone = {task: _peak(cfg, batches, [task], options) for task in RECIPES}
    largest = max(alone, key=alone.__getitem__)
    what = "peak memory of a SIMT step of 3 tasks / of its largest task alone"
    return [
        Figure(
            "peak_over_max_task",
            what,
            together / alone[largest],
            Goal("<=", 1.10),
            sides={
                "together": f"{together / MIB:.0f} MiB",
                **{task: f"{peak / MIB:.0f} MiB" for task, peak in alone.items()},
            },
            note="allocator" if options.device == "cuda" else "tensors' storages",
        )
    ]


def _peak(
    cfg: Config, batches: Mapping[str, Mapping], tasks: Iterable[str], options: Options
) -> int:
    model = build_gppf(select(cfg, tasks), _UNITS, TOP2, options)
    step = Step(model, {task: batches[task] for task in tasks})
    step()  # The optimizer's state appears in the first.
    peak = peak_bytes(step, step.held(), options)
    del model, step
    gc.collect()
    return peak
