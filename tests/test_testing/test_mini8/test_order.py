"""Runs that others start from are done before these."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gppf_mm.testing.mini8 import Bench, Devices, Run, Variant, sections

CONFIGS = Path(__file__).parents[3] / "configs/mini8"


@dataclass
class Doer:
    """Stands in for `do_runs`: writes a result of every run but some."""

    names: list[str] = field(default_factory=list)
    fails: tuple[str, ...] = ()
    diverges: tuple[str, ...] = ()

    def __call__(self, runs: Sequence[Run], devices: Devices) -> list[Run]:
        failed = []
        for run in runs:
            if run.result() is not None:
                continue
            run.folder.mkdir(parents=True)
            self.names.append(run.variant.name)
            if run.variant.name in self.fails:
                failed.append(run)
            else:
                diverged = run.variant.name in self.diverges
                metrics = {} if diverged else dict(objects=50.0)
                result = dict(metrics=metrics, diverged=diverged)
                (run.folder / "result.json").write_text(json.dumps(result))
        return failed


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Doer:
    doer = Doer()
    monkeypatch.setattr("gppf_mm.testing.mini8.bench.do_runs", doer)
    return doer


def chosen(*names: str) -> dict[str, Variant]:
    found = sections()
    every = found["transfer"] | found["main"]
    return {name: every[name] for name in names}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(CONFIGS, tmp_path, seeds=2, iterations=20)


def test_sources_and_what_starts_from_them_are_done_at_once(bench: Bench, done: Doer):
    names = ["single~10%", "scratch~10%", "lego4_soft:both~10%", "single", "lego4_soft"]
    variants = chosen(*names)
    assert bench.do(variants) == []
    first = ["scratch~10%", "single", "lego4_soft"] * 2
    assert done.names == first + ["single~10%", "lego4_soft:both~10%"] * 2
    assert bench.do(variants) == []
    assert len(done.names) == 10
    assert set(bench.results(variants)) == set(names)


def test_without_a_source_nothing_is_begun(bench: Bench, done: Doer):
    variants = chosen("scratch~10%", "single~10%")
    with pytest.raises(FileNotFoundError, match="`--only main` first"):
        bench.do(variants)
    assert not done.names


def test_what_starts_from_a_failed_run_waits(bench: Bench, done: Doer):
    done.fails = ("single",)
    variants = chosen("single", "single~10%", "shared", "shared~10%")
    failed = bench.do(variants)
    assert [run.variant.name for run in failed] == ["single"] * 2
    assert "shared~10%" in done.names
    assert "single~10%" not in done.names
    assert set(bench.results(variants)) == {"shared", "shared~10%"}


def test_what_starts_from_a_diverged_run_is_left_out(
    bench: Bench, done: Doer, capsys: pytest.CaptureFixture
):
    done.diverges = ("lego4_soft",)
    variants = chosen("lego4_soft", "lego4_soft:both~10%", "single", "single~10%")
    assert bench.do(variants) == []
    assert done.names == ["lego4_soft", "single"] * 2 + ["single~10%"] * 2
    assert "lego4_soft:both~10%, seed 1: nothing to start" in capsys.readouterr().out
