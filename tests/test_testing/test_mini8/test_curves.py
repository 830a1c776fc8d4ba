import numpy as np

from gppf_mm.testing.mini8.curves import seed_curves


def result(losses: list[float]) -> dict:
    return dict(losses=dict(a=[[index, loss] for index, loss in enumerate(losses)]))


def test_a_run_that_ended_early_is_not_stretched_over_the_others():
    falling = [1200.0 - index for index in range(1200)]
    places, values = seed_curves([result(falling), result(falling[:120])], "a")
    assert places[-1] == 120
    assert np.array_equal(values[0], values[1])


def test_a_task_without_losses_has_no_curve():
    places, _ = seed_curves([result([2.0]), dict(losses={})], "a")
    assert not places.size
