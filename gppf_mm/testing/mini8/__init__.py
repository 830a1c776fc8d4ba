"""The mini8 benchmark: what routing brings, on eight small tasks.

A variant is a change of one config; a run is a variant with a seed and a learning rate,
in a process and a folder of its own. ``tools/benchmarks/mini8.py`` does the runs that
are missing and writes the tables; docs/en/mini8.md says what they mean.

Example:
    >>> from gppf_mm.testing.mini8 import sections
    >>> list(sections()["main"])[:3]
    ['single', 'shared', 'shared_private']
"""

from .jobs import Devices, do_runs, parse_devices
from .page import gain_rows, main_rows, markdown, write_section
from .run import ITERATIONS, QUICK_ITERATIONS, Run
from .table import Value, delta_m
from .tuning import GRID, TUNE_SEED, LearningRates, scores_of, search
from .variants import TASKS, Variant, sections

__all__ = [
    "GRID",
    "ITERATIONS",
    "QUICK_ITERATIONS",
    "TASKS",
    "TUNE_SEED",
    "Devices",
    "LearningRates",
    "Run",
    "Value",
    "Variant",
    "delta_m",
    "do_runs",
    "gain_rows",
    "main_rows",
    "markdown",
    "parse_devices",
    "scores_of",
    "search",
    "sections",
    "write_section",
]
