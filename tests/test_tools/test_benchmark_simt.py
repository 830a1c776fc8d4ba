import json
from pathlib import Path

import pytest

from gppf_mm.testing.benchmark import MEASURES, Options, measures, run_measures
from gppf_mm.testing.benchmark.measures import Measure
from tests.runs import REPO, tool

SCRIPT = REPO / "tools/analysis_tools/benchmark_simt.py"
KEYS = (
    "simt_over_sum",
    "lego_over_plain_train",
    "lego_over_plain_train_top1",
    "lego_over_plain_infer",
    "peak_over_max_task",
    "comm_over_grad",
    "dp_over_naive",
    "dp_over_naive_128",
    "dp_over_naive_64",
    "shard_over_fully_shard",
    "shard_bytes_over_fully_shard",
    "loader_over_separate",
    "resume_ms",
    "resume_grouped_ms",
    "resume_balanced_ms",
    "index_15m_s",
    "index_15m_mib",
    "scaling_tasks",
    "scaling_units",
    "summed_loss_time",
    "summed_loss_peak",
    "libmtl_time",
    "libmtl_peak",
)


def run(folder: Path, *args: str | Path) -> tuple[int, str]:
    process = tool([SCRIPT, *args], cwd=folder)
    output = process.communicate(timeout=500)[0]
    return process.returncode, output


@pytest.mark.slow
def test_all_keys_are_printed_and_in_the_json(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    # Left out are those that start processes, which import everything anew.
    left_out = ("comm_over_grad", "dp_over_naive", "shard", "index_15m")
    keys = [key for key in MEASURES if not key.startswith(left_out)]
    code, output = run(tmp_path, "--quick", "--json", out, "--only", *keys)
    assert code == 0, output
    figures = {item["key"]: item for item in json.loads(out.read_text())["figures"]}
    assert set(figures) == {key for key in KEYS if not key.startswith(left_out)}
    for key, figure in figures.items():
        assert f"{key}: " in output
        assert key.startswith("libmtl") or figure["value"] is not None
    # What is counted and not timed holds at any size.
    assert figures["summed_loss_peak"]["value"] < 1
    assert figures["peak_over_max_task"]["value"] > 1


def test_an_unknown_key_is_refused(tool_main) -> None:
    code, message = tool_main(
        "analysis_tools/benchmark_simt.py", "--only", "simt_over_sums"
    )
    assert code == 2
    assert "Did you mean 'simt_over_sum'?" in message


def test_every_key_of_a_figure_can_be_asked_for(monkeypatch) -> None:
    asked = []

    def stub(name: str) -> Measure:
        return Measure(lambda options: asked.append(name) or [])

    stubs = {name: stub(name) for name in MEASURES}
    monkeypatch.setattr(measures, "MEASURES", stubs)
    for key in KEYS:
        list(run_measures([key], Options()))
    assert set(asked) == set(MEASURES)


def test_what_has_no_two_sides_is_not_profiled(tool_main) -> None:
    code, message = tool_main(
        "analysis_tools/benchmark_simt.py", "--profile", "resume_ms"
    )
    assert code == 2
    assert "simt_over_sum" in message


def test_every_goal_of_a_key_is_stated(tmp_path: Path) -> None:
    page = (REPO / "docs/en/benchmark.md").read_text()
    assert all(f"`{key}`" in page for key in KEYS)
    assert all(any(key.startswith(name) for key in KEYS) for name in MEASURES)
