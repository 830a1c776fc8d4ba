"""What stands beside the tables tells runs apart that do not compare."""

import json
from pathlib import Path

from gppf_mm.testing.mini8 import Bench, facts, sections

CONFIGS = Path(__file__).parents[3] / "configs/mini8"


def finish(bench: Bench, name: str, **found: object) -> None:
    """Write what finished runs of the main section would leave."""
    for run in bench.reported(sections()["main"][name]):
        run.prepare()
        result = json.loads((run.folder / "run.json").read_text()) | dict(
            train_seconds=60,
            test_seconds=0,
            diverged=False,
            device="cpu",
            machine="x86_64",
            versions=dict(torch="2.11.0"),
            finished="2026-11-26 12:00:00",
        )
        (run.folder / "result.json").write_text(json.dumps(result | found))


def test_facts_name_every_version_and_device(tmp_path: Path):
    bench = Bench(CONFIGS, tmp_path, seeds=1, iterations=20)
    finish(bench, "shared")
    finish(bench, "shared_private", device="H100", versions=dict(torch="2.12.0"))
    found = facts(bench, sections()["main"], "mini8.py")
    assert found["Versions"] == "torch 2.11.0 or 2.12.0"
    assert found["Machine"] == "cpu; H100; x86_64"
    assert found["Runs"].startswith("2, seeds 0; 20 batches of each task")
