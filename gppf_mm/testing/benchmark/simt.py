"""One SIMT step against the tasks' own training steps."""

from .figure import Figure, Goal
from .options import Options
from .steps import Step, StockSteps
from .tasks import RECIPES, SHARED, build_gppf, set_up
from .timing import Pair, interleave, ratio_figure


def simt_pair(options: Options) -> Pair:
    """Set up a SIMT step over a bank of one unit, and three stock steps."""
    cfg, batches = set_up(RECIPES, options, size=256)
    ours = Step(build_gppf(cfg, 1, SHARED, options), batches)
    return Pair({"SIMT": ours, "stock": StockSteps(cfg, batches, options)})


def simt_over_sum(options: Options) -> list[Figure]:
    """Compare a SIMT step (K=1) with the sum of the stock steps on the same batches."""
    times = interleave(simt_pair(options).calls, options)
    what = "one SIMT step of 3 tasks (1 unit) / the stock steps of the 3 tasks"
    return [ratio_figure("simt_over_sum", what, times, Goal("<=", 1.00))]
