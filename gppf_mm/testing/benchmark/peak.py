"""Peak memory of a SIMT step against that of its largest task alone."""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
    alone = {task: _peak(cfg, batches, [task], options) for task in RECIPES}
    # The largest first, as the documents advise: no other task's gradients are there
    # yet when it needs most.
    tasks = sorted(alone, key=lambda task: alone[task].peak, reverse=True)
    together, largest = _peak(cfg, batches, tasks, options), alone[tasks[0]]
    what = "peak memory of a SIMT step of 3 tasks / of its largest task alone"
    return [
        Figure(
            "peak_over_max_task",
            what,
            together.peak / largest.peak,
            Goal("<=", 1.10),
            sides={
                "together": together.describe(),
                **{task: alone[task].describe() for task in tasks},
            },
            note="allocator" if options.device == "cuda" else "tensors' storages",
        )
    ]


@dataclass(frozen=True)
class _Memory:
    """What a step needs, in bytes: the most, and what stays from step to step."""

    peak: int
    held: int

    def describe(self) -> str:
        return f"{self.peak / MIB:.0f} MiB ({self.held / MIB:.0f} held)"


def _peak(
    cfg: Config, batches: Mapping[str, Mapping], tasks: Iterable[str], options: Options
) -> _Memory:
    model = build_gppf(select(cfg, tasks), _UNITS, TOP2, options)
    step = Step(model, {task: batches[task] for task in tasks})
    step()  # The optimizer's state appears in the first.
    held = step.held()
    found = _Memory(
        peak_bytes(step, held, options), sum(tensor.nbytes for tensor in held)
    )
    del model, step, held
    gc.collect()
    return found
