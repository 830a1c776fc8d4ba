"""The run's seed reaches the router."""

from typing import Any

import pytest
from mmengine.config import Config

from gppf_mm.engine.runner.router_seed import seed_router
from gppf_mm.models import BaseRouter, LearnedRouter, TopKRouter
from gppf_mm.registry import RUNNERS
from tests.runs import make_tiny_toy, tiny_config


class SeedlessRouter(LearnedRouter):
    """Has no argument of that name."""

    def __init__(self, tasks: Any, groups: Any, num_units: int) -> None:
        super().__init__(tasks, groups, num_units)


def seeded(router: dict[str, Any], **randomness: Any) -> Any:
    cfg = Config(dict(model=dict(lego=dict(router=router)), randomness=randomness))
    seed_router(cfg)
    return cfg.model.lego.router.get("seed")


@pytest.mark.parametrize(
    "kind", ["gppf_mm.SoftRouter", "gppf_mm.GumbelTopKRouter", TopKRouter]
)
def test_a_router_that_learns_has_the_seed_of_the_run(kind: str | type) -> None:
    assert seeded(dict(type=kind), seed=7) == 7
    assert seeded(dict(type=kind, seed=3), seed=7) == 3
    assert seeded(dict(type=kind)) is None


@pytest.mark.parametrize("kind", ["gppf_mm.FixedRouter", SeedlessRouter, BaseRouter])
def test_others_get_none(kind: str | type) -> None:
    assert seeded(dict(type=kind), seed=7) is None


def test_runs_of_other_seeds_have_other_routes(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(make_tiny_toy(tmp_path))

    def logits(seed: int, name: str) -> Any:
        cfg = tiny_config(tmp_path / name, {"randomness.seed": seed})
        cfg.experiment_name = name
        return RUNNERS.build(cfg).model.network.router.logits["det"]

    first, same, other = logits(1, "a"), logits(1, "b"), logits(2, "c")
    assert first.equal(same)
    assert not first.equal(other)
