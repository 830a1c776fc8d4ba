from typing import Any

import pytest

from gppf_mm.models import BaseRouter, TopKRouter
from gppf_mm.models.build_router import build_router
from gppf_mm.registry import MODELS

TASKS, GROUPS = ("det", "seg"), {"layer1": 2, "layer2": 4}


class Own(BaseRouter):
    """A user's router, which takes whatever it is given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(options["tasks"], options["groups"], options["num_units"])
        self.options = options


def test_the_network_gives_tasks_and_groups_and_the_config_the_rest():
    router = build_router(dict(type="gppf_mm.TopKRouter", k=2), TASKS, GROUPS)
    assert router.tasks == TASKS
    assert router.groups == tuple(GROUPS)
    # The group of two units never draws the third or fourth.
    for task in TASKS:
        assert set(router.draw(task, 0).routes["layer1"].units) == {0, 1}


def test_a_class_and_a_name_make_the_same_router():
    built = [
        build_router(dict(type=kind, k=2, seed=3), TASKS, GROUPS)
        for kind in (TopKRouter, "gppf_mm.TopKRouter")
    ]
    first, second = (router.logits["det"] for router in built)
    assert first.equal(second)


def test_a_router_of_ones_own_may_take_any_key():
    router = build_router(dict(type=Own, colour="blue"), TASKS, GROUPS)
    assert router.options["colour"] == "blue"


@pytest.mark.parametrize(
    ("cfg", "error", "message"),
    [
        (
            dict(type="gppf_mm.TopKRouter", k=2, temprature=1),
            ValueError,
            "unknown key 'temprature'.*Did you mean 'temperature'",
        ),
        (dict(type="gppf_mm.TopKRouter"), ValueError, "has no 'k', which TopKRouter"),
        (
            dict(type="gppf_mm.SoftRouter", num_units=4),
            ValueError,
            "unknown key 'num_units'",
        ),
        (dict(type="gppf_mm.TopkRouter"), TypeError, "'gppf_mm.TopkRouter', which is"),
        (dict(k=2), TypeError, "is None, which is no router"),
        (dict(type=MODELS.get("gppf_mm.GPPF")), TypeError, "which is no router"),
    ],
)
def test_a_config_that_makes_no_router_is_refused(
    cfg: dict, error: type[Exception], message: str
):
    with pytest.raises(error, match=rf"`model\.lego\.router.*{message}"):
        build_router(cfg, TASKS, GROUPS)
