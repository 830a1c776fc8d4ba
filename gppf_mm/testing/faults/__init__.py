"""Fault injection: a training run is struck at random moments, resumed and compared.

The run is a real one, of three stock models over a toy set on the disk, started by
``tools/train.py``. A trial waits for a moment that was drawn, does a fault to the run
(kills it or a worker, tells it to stop, fills the disk, cuts a checkpoint off), gives
``--resume`` until the run ends, and compares what it ends with, to the last bit, with
the run that nobody disturbed.
"""

from .digest import digest, state_digests
from .kinds import KINDS, FaultKind
from .plan import Injection, Trial, draw_trials
from .ranks import RanksResult, kill_ranks
from .refusals import Refusal, follow_notes, refuse_files
from .report import replace_report, report
from .result import Hit, Reference, TrialResult
from .suite import FaultSuite
from .trace import Event, TraceHook

__all__ = [
    "KINDS",
    "Event",
    "FaultKind",
    "FaultSuite",
    "Hit",
    "Injection",
    "RanksResult",
    "Reference",
    "Refusal",
    "TraceHook",
    "Trial",
    "TrialResult",
    "digest",
    "draw_trials",
    "follow_notes",
    "kill_ranks",
    "refuse_files",
    "replace_report",
    "report",
    "state_digests",
]
