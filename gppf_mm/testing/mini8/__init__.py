"""The mini8 benchmark: what routing brings, on eight small tasks.

A variant is a change of one config; a run is a variant with a seed and a learning rate,
in a process and a folder of its own. ``tools/benchmarks/mini8.py`` does the runs that
are missing and writes the tables; docs/en/mini8.md says what they mean.

Example:
    >>> from gppf_mm.testing.mini8 import sections
    >>> list(sections()["main"])[:3]
    ['single', 'shared', 'shared_private']
"""

from .bench import Bench
from .devices import Devices, parse_devices
from .jobs import do_runs
from .page import check_places, markdown, write_section
from .report import draw, facts, section_tables
from .run import ITERATIONS, QUICK_ITERATIONS, Run
from .sections import sections
from .table import Value, delta_m
from .tasks import TASKS
from .tuning import DEFAULT_LR, GRID, parse_rates
from .variants import Variant

__all__ = [
    "DEFAULT_LR",
    "GRID",
    "ITERATIONS",
    "QUICK_ITERATIONS",
    "TASKS",
    "Bench",
    "Devices",
    "Run",
    "Value",
    "Variant",
    "check_places",
    "delta_m",
    "do_runs",
    "draw",
    "facts",
    "markdown",
    "parse_devices",
    "parse_rates",
    "section_tables",
    "sections",
    "write_section",
]
