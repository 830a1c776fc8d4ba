"""How often a run validates."""

import pytest

from gppf_mm.engine.runner.intervals import check_iterations, validation_intervals


def test_the_interval_changes_at_milestones():
    assert validation_intervals(4, None) == ([0], [4])
    assert validation_intervals(4, [(8, 2), [9, 1]]) == ([0, 8, 9], [4, 2, 1])


@pytest.mark.parametrize("interval", [0, -1, 2.5, float("inf"), None, "5"])
def test_an_interval_is_one_or_more(interval):
    with pytest.raises(ValueError, match=r"`train_cfg\.val_interval` is .* never: val"):
        validation_intervals(interval, None)


@pytest.mark.parametrize("pair", [(3, 0), (3, -1), 3, (3,), (3, 1, 1), ("a", 1)])
def test_a_dynamic_interval_is_a_pair(pair):
    with pytest.raises(ValueError, match=r"`train_cfg\.dynamic_intervals` has .*never"):
        validation_intervals(5, [(1, 1), pair])


@pytest.mark.parametrize("later", [[(5, 1), (3, 2)], [(-1, 2)]])
def test_milestones_ascend(later):
    with pytest.raises(ValueError, match=r"`train_cfg\.dynamic_intervals` .*ascending"):
        validation_intervals(5, later)


@pytest.mark.parametrize("value", ["9", None, 2.5, float("inf"), 0])
def test_iterations_are_a_whole_number(value):
    with pytest.raises(ValueError, match=r"`train_cfg\.max_iters` is .* at least 1"):
        check_iterations("max_iters", value, least=1)
    check_iterations("max_iters", 1e3, least=1)
    check_iterations("val_begin", 0, least=0)
