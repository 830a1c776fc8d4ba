"""All that the benchmark measures, by key."""

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gppf_mm.utils.messages import check_names

from . import alternatives, lego, simt
from .communication import comm_over_grad
from .data_parallel import dp_over_naive
from .figure import Figure
from .fully_shard import shard_over_fully_shard
from .index import index_15m
from .loading import loader_over_separate
from .options import Options
from .peak import peak_over_max_task
from .resume import resume_ms
from .scaling import scaling
from .timing import Pair


@dataclass(frozen=True)
class Measure:
    """A measurement, which gives one figure or several.

    Attributes:
        run: Takes it.
        pair: Sets up the two sides that it times, for a profile. Defaults to None, it
            does not time two calls in this process.
    """

    run: Callable[[Options], list[Figure]]
    pair: Callable[[Options], Pair] | None = None


MEASURES: Mapping[str, Measure] = {
    "simt_over_sum": Measure(simt.simt_over_sum, simt.simt_pair),
    "lego_over_plain_train": Measure(lego.lego_over_plain_train, lego.top2_pair),
    "lego_over_plain_train_top1": Measure(
        lego.lego_over_plain_train_top1, lego.top1_pair
    ),
    "lego_over_plain_infer": Measure(lego.lego_over_plain_infer, lego.infer_pair),
    "peak_over_max_task": Measure(peak_over_max_task),
    "comm_over_grad": Measure(comm_over_grad),
    "dp_over_naive": Measure(dp_over_naive),
    "shard_over_fully_shard": Measure(shard_over_fully_shard),
    "loader_over_separate": Measure(loader_over_separate),
    "resume_ms": Measure(resume_ms),
    "index_15m": Measure(index_15m),
    "scaling": Measure(scaling),
    "summed_loss": Measure(alternatives.summed_loss, alternatives.summed_pair),
    "libmtl": Measure(alternatives.libmtl_loss, alternatives.libmtl_pair),
}

# Measurements of several figures go by the name of each as well.
_ALIASES = {
    "dp_over_naive_128": "dp_over_naive",
    "dp_over_naive_64": "dp_over_naive",
    "index_15m_s": "index_15m",
    "index_15m_mib": "index_15m",
    "libmtl_time": "libmtl",
    "libmtl_peak": "libmtl",
    "resume_grouped_ms": "resume_ms",
    "resume_balanced_ms": "resume_ms",
    "scaling_tasks": "scaling",
    "scaling_units": "scaling",
    "shard_bytes_over_fully_shard": "shard_over_fully_shard",
    "summed_loss_time": "summed_loss",
    "summed_loss_peak": "summed_loss",
}


def run_measures(keys: Iterable[str], options: Options) -> Iterator[Figure]:
    """Take measurements one after the other.

    Args:
        keys: Their keys; none for all.
        options: How.

    Yields:
        The figures. A measurement that fails prints its traceback and gives a figure
        without a value, so that the others are not lost.

    Raises:
        ValueError: If there is no such measurement.
    """
    keys = list(keys)
    check_names("--only", keys, [*MEASURES, *_ALIASES])
    for key in dict.fromkeys(_ALIASES.get(key, key) for key in keys or MEASURES):
        try:
            yield from MEASURES[key].run(options)
        except Exception as error:
            traceback.print_exc()
            yield Figure(key, key, None, note=f"failed: {type(error).__name__}")
        gc.collect()
