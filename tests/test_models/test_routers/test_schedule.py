import pytest

from gppf_mm.models.routers.schedule import Schedule

POINTS = [(10, 8.0), (20, 2.0), (40, 0.5)]


@pytest.mark.parametrize("interpolation", ["linear", "geometric", "step"])
def test_it_meets_its_points_and_stays_before_and_after(interpolation: str) -> None:
    schedule = Schedule("x", POINTS, interpolation)
    for iteration, number in POINTS:
        assert schedule(iteration) == number
    assert schedule(0) == schedule(9) == 8.0
    assert schedule(41) == schedule(10**6) == 0.5
    assert schedule.end == 40


@pytest.mark.parametrize(
    ("interpolation", "between"), [("linear", 5.0), ("geometric", 4.0), ("step", 8.0)]
)
def test_halfway_is_the_mean_of_its_kind(interpolation: str, between: float) -> None:
    assert Schedule("x", POINTS, interpolation)(15) == pytest.approx(between)


def test_a_number_is_constant_and_lists_are_as_good_as_tuples() -> None:
    assert Schedule("x", 3)(0) == Schedule("x", 3)(999) == 3
    listed = Schedule("x", [[0, 4], [1e1, 2]], "step")
    assert [listed(step) for step in (0, 9, 10)] == [4, 4, 2]
    assert type(listed(0)) is int


@pytest.mark.parametrize(
    "value",
    [
        None,
        "3",
        True,
        float("nan"),
        -1,
        [],
        [3],
        [(0,)],
        [(0, 1.0), (0, 2.0)],
        [(5, 1.0), (3, 2.0)],
        [(-1, 1.0)],
        [(0.5, 1.0)],
        [(0, "1")],
        [(0, True)],
        [(0, 1.0), (9, -1.0)],
        {0: 1.0},
    ],
)
def test_what_it_cannot_be_is_named(value: object) -> None:
    with pytest.raises(ValueError, match=r"`lego\.x` is .*expected one of counts, or"):
        Schedule("lego.x", value, "step", lambda number: number >= 0, "counts")
