from dataclasses import dataclass, field

import pytest

from gppf_mm.testing.mini8.stability import diverged_tasks, loss_noise
from gppf_mm.testing.mini8.tuning import LearningRates, scores_of, search


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


def searched(done: dict[float, float], grid: list[float]) -> list[float]:
    return [run.lr for run in search(lambda lr: StandIn(lr, done), grid)]


def test_the_grid_comes_first():
    assert searched({}, [4.0, 1.0, 2.0]) == [1.0, 2.0, 4.0]
    assert searched({1.0: 9.0}, [1.0, 2.0]) == [1.0, 2.0]


def test_the_search_goes_on_beyond_an_end_and_stops():
    done = {1.0: 5.0, 2.0: 3.0}
    assert searched(done, [1.0, 2.0]) == [0.5, 1.0, 2.0]
    done[0.5] = 6.0
    assert searched(done, [1.0, 2.0]) == [0.25, 0.5, 1.0, 2.0]
    done[0.25] = 7.0
    # Twice at most.
    assert searched(done, [1.0, 2.0]) == [0.25, 0.5, 1.0, 2.0]
    assert searched({1.0: 1.0, 2.0: 5.0, 4.0: 3.0}, [1.0, 2.0, 4.0]) == [1.0, 2.0, 4.0]


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
