import os
import signal
import time
from pathlib import Path

import pytest

from gppf_mm.testing import RecipeCheck, sweep
from gppf_mm.testing.isolated import LimitError, Limits, run_isolated
from gppf_mm.testing.records import Records
from gppf_mm.testing.sweep import check_all, expand_all, expansion_record
from gppf_mm.testing.table import coverage_page

SAME = [
    "mmpretrain::resnet/resnet18_8xb32_in1k.py",
    "mmpretrain::resnet/resnet18_8xb16_cifar10.py",
    "mmpretrain::resnet/resnet50_8xb32_in1k.py",
    "mmpretrain::resnet/resnet50_8xb32-coslr_in1k.py",
    "mmdet::centernet/centernet_tta.py",
]


def _misbehave(how: str) -> str:
    if how == "sleep":
        time.sleep(60)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "allocate":
        _ = bytearray(2**40)
    return how.upper()


def test_a_process_that_breaks_its_limits_harms_no_other():
    jobs = ["a", "sleep", "b", "die", "allocate", "c"]
    outcomes = dict(run_isolated(_misbehave, jobs, 2, Limits(seconds=2)))
    assert [outcomes[job] for job in "abc"] == ["A", "B", "C"]
    assert "took longer than 2 s" in str(outcomes["sleep"])
    assert "SIGKILL" in str(outcomes["die"])
    assert isinstance(outcomes["allocate"], LimitError)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a stand-in in the place of the check; it notes each recipe in a file."""
    notes = tmp_path / "notes.txt"

    def check(name: str, num_units: int, seed: int) -> RecipeCheck:
        with notes.open("a") as file:
            file.write(f"{name}\n")
        return RecipeCheck(name, "failed" if "resnet50" in name else "ok", "loss", "no")

    monkeypatch.setattr(sweep, "check_recipe", check)
    return notes


def _sweep(records: Records, again: str | None = None) -> list[str]:
    expand_all(records, SAME, num_units=2, workers=1)
    found = check_all(records, SAME, 2, 0, 1, Limits(), again)
    return sorted(result.recipe for result in found)


def test_a_resumed_sweep_repeats_nothing(checked: Path, tmp_path: Path):
    path = tmp_path / "sweep.jsonl"
    # The two ResNet-50 differ in their schedule alone.
    assert _sweep(Records(path)) == sorted(SAME[:3])
    lines = path.read_text()
    path.write_text(lines + '{"record": "check", "sign')  # Interrupted here.
    assert _sweep(Records(path)) == []
    assert len(checked.read_text().splitlines()) == 3

    assert _sweep(Records(path), again="failed") == [SAME[2]]
    assert len(checked.read_text().splitlines()) == 4
    status = {item["recipe"]: item["status"] for item in Records(path).outcomes()}
    expected = ["ok", "ok", "failed", "failed", "skipped"]
    assert [status[name] for name in SAME] == expected


def test_what_failed_in_its_own_library_is_checked_again_too():
    record = dict(status="skipped", reason="its own library fails too, in loss: x")
    assert sweep._is_due(record, "failed")
    assert not sweep._is_due(record, None)
    assert not sweep._is_due(dict(record, reason="needs the package 'timm'"), "failed")


def test_a_later_record_replaces_an_earlier_one(tmp_path: Path):
    path = tmp_path / "sweep.jsonl"
    records = Records(path)
    for status in ("failed", "ok"):
        records.add(dict(record="check", signature="x", status=status))
    assert Records(path).checks["x"]["status"] == "ok"
    assert records.checks == Records(path).checks


def test_the_expansion_says_what_is_no_recipe():
    record = expansion_record(SAME[4], num_units=2)
    assert (record["status"], record["expanded"]) == ("skipped", False)
    record = expansion_record(SAME[0], num_units=2)
    assert (record["status"], record["expanded"]) == ("ok", True)


def test_the_page_counts_recipes_and_not_models(checked: Path, tmp_path: Path):
    records = Records(tmp_path / "sweep.jsonl")
    _sweep(records)
    page = coverage_page(records.outcomes(), {"Date": "2026-01-01"})
    assert "| **all** |  | 5 | 3 | 2 | 2 | 1 | 50.0% |" in page
    assert "| ResNet | 4 | 3 | 2 | 2 | 0 | 50.0% |" in page
    assert "| mmpretrain | loss: no | 2 | `resnet/resnet50_8xb32" in page
    assert "- Date: 2026-01-01" in page
