"""A few faults for real; the whole suite is tools/analysis_tools/inject_faults.py."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gppf_mm.testing.faults import KINDS, FaultSuite, Injection, Trial, trial
from gppf_mm.testing.faults.moments import SAVING, Moment, Segment, moment_at
from tests.runs import CONFIG, REPO


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(REPO))
        folder = tmp_path_factory.mktemp("faults")
        yield FaultSuite(folder, CONFIG, REPO / "tools/train.py")


def strike(suite: FaultSuite, number: int, start: str, *faults: Injection):
    result = suite.trial(Trial(number, start, faults), suite.reference("fork"))
    assert len(result.hits) == len(faults)
    assert result.good, result
    return result.hits


@pytest.mark.slow
def test_a_run_struck_again_and_again_is_bit_equal(
    suite: FaultSuite, monkeypatch: pytest.MonkeyPatch
):
    aimed = []

    def note(parts: Sequence[Segment], position: float) -> Moment:
        aimed.append(moment_at(parts, position))
        return aimed[-1]

    monkeypatch.setattr(trial, "moment_at", note)
    kinds = ["SIGKILL, all processes", "SIGKILL, one worker", "disk full", "SIGINT"]
    hits = strike(
        suite,
        1,
        "fork",
        Injection(KINDS[kinds[0]], saving=True, position=0.4, share=0.5),
        Injection(KINDS[kinds[1]], saving=False, position=0.1, share=0.5),
        Injection(KINDS[kinds[2]], saving=False, position=0.1, share=0.5),
        Injection(KINDS[kinds[3]], saving=True, position=0.5, share=0.5),
    )
    assert [hit.kind for hit in hits] == kinds
    # Where it aims, that is: a run which saves faster than the uninterrupted one did is
    # in the next step by then.
    assert {aimed[0].event, aimed[3].event} <= set(SAVING)
    assert all(
        hit.iteration >= moment.iteration
        for hit, moment in zip(hits, aimed, strict=True)
    )
    resumed = [hit.resumed_from for hit in hits]
    assert resumed == sorted(resumed)


@pytest.mark.slow
def test_a_command_told_to_stop_goes_on_bit_equal(suite: FaultSuite):
    """Other imports in another order, another hash seed: nothing depends on them."""
    told = Injection(KINDS["SIGTERM"], saving=True, position=0.6, share=0.5)
    (hit,) = strike(suite, 2, "command", told)
    assert hit.code == 143
    assert hit.resumed_from >= hit.iteration > 0


@pytest.mark.slow
def test_a_run_that_ends_otherwise_is_noticed(suite: FaultSuite):
    reference = suite.reference("fork")
    other = replace(
        reference,
        digests={**reference.digests, "ema": "0"},
        parts=[Segment("start", 0, 0.1)],
    )
    early = Injection(KINDS["SIGKILL, main process"], False, 0.5, 0.5)
    result = suite.trial(Trial(3, "fork", (early,)), other)
    assert result.differing == ["ema"]
    assert not result.good


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path):
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        FaultSuite(tmp_path, CONFIG, REPO / "tools/train.py")
