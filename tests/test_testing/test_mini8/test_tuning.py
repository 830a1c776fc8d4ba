from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gppf_mm.testing.mini8 import Bench, Devices, parse_rates
from gppf_mm.testing.mini8.stability import diverged_tasks, loss_noise
from gppf_mm.testing.mini8.tuning import TUNE_SEED, LearningRates, scores_of


@dataclass
class StandIn:
    """A run whose score is known beforehand, once it is done."""

    lr: float
    done: dict[float, float] = field(repr=False)

    def result(self) -> dict | None:
        if self.lr not in self.done:
            return None
        score = self.done[self.lr]
        return dict(diverged=score < 0, metrics=dict(a=score, b=score))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A benchmark whose runs score their learning rate; one of them cannot be done."""
    done: dict[float, float] = {}

    def do(runs: list[StandIn], devices: Devices) -> list[StandIn]:
        done.update({run.lr: run.lr for run in runs if run.lr < 8})
        return [run for run in runs if run.lr >= 8]

    def run_of(self: Bench, variant: str, split: str, seed: int, lr: float) -> StandIn:
        assert (split, seed) == ("tune", TUNE_SEED)
        return StandIn(lr, done)

    monkeypatch.setattr("gppf_mm.testing.mini8.bench.do_runs", do)
    monkeypatch.setattr(Bench, "run_of", run_of)
    return Bench(tmp_path, tmp_path)


def test_every_variant_tries_the_same_rates(bench: Bench):
    assert bench.tune(dict(a="a", b="b"), [4.0, 1.0, 2.0]) == []
    for name in ("a", "b"):
        assert bench.rates[name] == 4.0
        assert list(bench.rates.tried(name)) == ["1", "2", "4"]


def test_a_search_that_lacks_a_run_chooses_nothing(bench: Bench):
    failed = bench.tune(dict(a="a"), [4.0, 8.0])
    assert [run.lr for run in failed] == [8.0]
    assert "a" not in bench.rates


def test_the_best_rate_is_kept_and_a_diverged_run_is_the_worst(tmp_path):
    runs = [
        StandIn(lr, {1.0: 5.0, 2.0: 6.0, 4.0: -1.0, 8.0: 6.0})
        for lr in (8.0, 4.0, 2.0, 1.0)
    ]
    rates = LearningRates(tmp_path / "a/lrs.json")
    assert "x" not in rates
    rates.note("x", scores_of(runs))
    again = LearningRates(tmp_path / "a/lrs.json")
    assert again["x"] == 2.0
    assert again.tried("x")["4"] == float("-inf")


def test_a_given_rate_goes_before_what_was_searched(tmp_path: Path):
    LearningRates(tmp_path / "lrs.json").note("a", {1.0: 5.0})
    rates = Bench(tmp_path, tmp_path, lr=4.0, given_rates=dict(a=2.0, b=3.0)).rates
    assert [rates[name] for name in "abc"] == [2.0, 3.0, 4.0]
    assert "b" in rates
    assert "c" not in rates


def test_a_search_of_another_length_decides_nothing(bench: Bench):
    bench.tune(dict(a="a"), [4.0, 2.0])
    quick = replace(bench, iterations=20)
    assert "a" not in quick.rates
    quick.tune(dict(a="a"), [1.0])
    assert (quick.rates["a"], bench.rates["a"]) == (1.0, 4.0)


def test_a_search_on_another_heldout_set_is_one_of_its_own(
    bench: Bench, tmp_path: Path
):
    other = tmp_path / "pets.py"
    other.touch()
    usual, pets = bench, replace(bench, heldout=other)
    usual.rates.note("scratch~10%", {1.0: 5.0})
    usual.rates.note("single", {2.0: 5.0})
    assert "scratch~10%" not in pets.rates
    pets.rates.note("scratch~10%", {4.0: 5.0})
    assert (usual.rates["scratch~10%"], pets.rates["scratch~10%"]) == (1.0, 4.0)
    # What fine-tuning starts from is the same for both.
    assert pets.rates["single"] == 2.0


def test_given_rates_name_variants_that_there_are():
    assert parse_rates(["a=1e-2", "b@c=2"], ["a", "b@c"]) == {"a": 0.01, "b@c": 2.0}
    for wrong in ("a", "a=", "=1", "a=fast", "a=0", "a=-1", "a=nan", "a=inf"):
        with pytest.raises(ValueError, match="expected VARIANT=RATE"):
            parse_rates([wrong], ["a"])
    with pytest.raises(ValueError, match="Did you mean 'single'"):
        parse_rates(["singel=1"], ["single"])


def test_noise_is_relative_and_no_trend():
    falling = [100.0 - i for i in range(80)]
    assert loss_noise(falling) == pytest.approx(0, abs=1e-9)
    jumping = [1.0, 2.0] * 50
    scaled = [10 * value for value in jumping]
    assert loss_noise(jumping) == pytest.approx(loss_noise(scaled))
    # Neighbours differ by 1 in turns, around 1.5.
    assert loss_noise(jumping) == pytest.approx(1 / 2**0.5 / 1.5, rel=0.01)


def test_divergence():
    def pairs(values: list[float]) -> list[list[float]]:
        return [[i, value] for i, value in enumerate(values)]

    losses = dict(
        fine=pairs([3.0, 2.0, 1.0]),
        rising=pairs([1.0, 2.0, 3.0]),
        lost=pairs([3.0, float("nan"), 1.0]),
    )
    assert diverged_tasks(dict(losses=losses)) == ["rising", "lost"]
