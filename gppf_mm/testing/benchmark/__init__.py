"""Benchmark: what the SIMT engine costs, and saves, as ratios.

Each figure compares two ways to do the same, timed in turns in one run, so that a slow
moment of the machine meets both. ``tools/analysis_tools/benchmark_simt.py`` prints them
beside their goals; ``docs/en/benchmark.md`` says what each of them means.

Example:
    >>> from gppf_mm.testing.benchmark import Figure, Goal
    >>> Figure("simt_over_sum", "a step / the sum", 1.07, Goal("<=", 1.00)).result
    'missed'
"""

from .figure import Figure, Goal
from .measures import MEASURES, Measure, run_measures
from .options import Options
from .page import numbers, write_page
from .profiling import profile_sides

__all__ = [
    "MEASURES",
    "Figure",
    "Goal",
    "Measure",
    "Options",
    "numbers",
    "profile_sides",
    "run_measures",
    "write_page",
]
