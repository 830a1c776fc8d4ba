"""Opening an index of 15 million samples; the store has a benchmark of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .figure import Figure, Goal
from .options import Options

_TOOL = Path(__file__).parents[3] / "tools/benchmarks/annotation_store.py"
_SAMPLES = 15_000_000
# By key: what it is, its unit and bound, and the store's benchmark's name for it.
_WHAT = dict(
    index_15m_s=("time to open the index of 15 million samples", "s", 2.0, "open_s"),
    index_15m_mib=(
        "private memory of a process that has it open, after 1000 samples",
        "MiB",
        200.0,
        "read_mib",
    ),
)


def index_15m(options: Options) -> list[Figure]:
    """Run the annotation store's benchmark, where there is one."""
    found: dict[str, float] = {}
    if _TOOL.is_file():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out.json")
            samples, processes = options.pick((_SAMPLES, 3), (1000, 1))
            command = [sys.executable, _TOOL, "--samples", samples, "--json", out]
            command += ["--processes", processes]
            subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
            found = json.loads(out.read_text())
    return [
        Figure(
            key,
            what,
            found.get(name),
            Goal("<=", bound),
            unit=unit,
            note="" if found else f"no {_TOOL.name} in tools/benchmarks",
        )
        for key, (what, unit, bound, name) in _WHAT.items()
    ]
