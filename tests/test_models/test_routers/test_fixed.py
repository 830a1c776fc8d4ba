from typing import Any

import pytest

from gppf_mm.models import FixedRouter

TASKS, GROUPS = ("det", "seg"), ("stem", "layer1")


def test_routes_are_the_same_in_every_group_and_step() -> None:
    router = FixedRouter(TASKS, GROUPS, 3, routes=dict(det=[0, 2], seg=[1]))
    assert not list(router.parameters())
    for step in range(3):
        det, seg = (router.draw(task, step) for task in TASKS)
        assert det.units() == dict(stem=(0, 2), layer1=(0, 2))
        assert seg.units() == dict(stem=(1,), layer1=(1,))
        assert [weight.item() for weight in det.routes["stem"].weights] == [0.5, 0.5]
        # One unit needs no mixing, and its weight is used as it is.
        assert seg.routes["stem"].weights is None


def test_one_unit_needs_no_routes() -> None:
    router = FixedRouter(TASKS, GROUPS, 1)
    assert router.draw("seg").units() == dict(stem=(0,), layer1=(0,))


@pytest.mark.parametrize(
    ("routes", "named"),
    [
        (None, r"lego\.router\.routes` is missing.*3 units"),
        (dict(det=[0]), r"routes.*'seg'"),
        (dict(det=[0], seg=[1], cls=[2]), r"routes.*'cls'"),
        (dict(det=[0], seg=[]), r"routes\.seg` is \[\]"),
        (dict(det=[0], seg=[1, 1]), r"routes\.seg` is \[1, 1\]"),
        (
            dict(det=[0, 3], seg=[1]),
            r"routes\.det` is \[0, 3\].*0 to 2.*num_units` is 3",
        ),
        (dict(det=[-1], seg=[1]), r"routes\.det` is \[-1\]"),
        ([[0], [1]], r"router\.routes` is \[\[0\], \[1\]\]; expected a dict"),
        (dict(det=0, seg=[1]), r"routes\.det` is 0; expected a list"),
        (dict(det=["1"], seg=[1]), r"routes\.det` is \['1'\]; expected a list"),
    ],
)
def test_bad_routes_are_errors(routes: Any, named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        FixedRouter(TASKS, GROUPS, 3, routes=routes)
