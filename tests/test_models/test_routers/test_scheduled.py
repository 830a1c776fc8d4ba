"""Exploring, sharpening, freezing, and where routes begin."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from gppf_mm.models import GPPF, LearnedRouter, SoftRouter, TopKRouter
from tests.tiny_tasks import NAMES, build_tiny, tiny_batches

TASKS = ("det", "seg", "cls")
GROUPS = tuple(f"layer{index}" for index in range(6))
K = 4


def topk(**options: Any) -> TopKRouter:
    return TopKRouter(TASKS, GROUPS, K, **{"k": 2, "init_std": 1.0, **options})


def weights(router: LearnedRouter, step: int, task: str = "det") -> Tensor:
    """Return a plan as a dense table of mixing weights, (groups, K)."""
    mix = torch.zeros(len(GROUPS), K)
    for row, route in enumerate(router.draw(task, step).routes.values()):
        mix[row, list(route.units)] = torch.tensor(route.values)
    return mix


def test_soft_for_half_the_run_then_top_2() -> None:
    router, soft = topk(k=[(0, K), (750, 2)]), SoftRouter(TASKS, GROUPS, K, 1.0)
    for step in (0, 749):
        torch.testing.assert_close(weights(router, step), weights(soft, step))
    for step in (750, 10_000):
        assert torch.equal(weights(router, step), weights(topk(), step))
        assert {len(u) for u in router.draw("det", step).units().values()} == {2}


def test_k_counts_the_shared_units_at_every_time() -> None:
    router = topk(k=[(0, 4), (10, 3), (20, 2)], shared_units=1)
    with torch.no_grad():
        router.logits["det"][:, 0] = -50.0
    for step, count in ((0, 4), (10, 3), (20, 2)):
        for units in router.draw("det", step).units().values():
            assert len(units) == count
            assert units[0] == 0


@pytest.mark.parametrize("cls", [TopKRouter, SoftRouter])
def test_a_falling_temperature_sharpens(cls: type[LearnedRouter]) -> None:
    options = dict(k=3) if cls is TopKRouter else {}
    schedule = [(0, 4.0), (100, 0.25)]
    router = cls(TASKS, GROUPS, K, init_std=1.0, temperature=schedule, **options)
    largest = [weights(router, step).max(dim=1).values for step in (0, 30, 60, 100)]
    for earlier, later in pairwise(largest):
        assert (later > earlier).all()
    # Geometric: the temperature is 1 halfway.
    router.eval()
    plain = cls(TASKS, GROUPS, K, init_std=1.0, **options)
    torch.testing.assert_close(weights(router, 50), weights(plain, 0))
    row = router.probabilities("det", 100)
    torch.testing.assert_close(row, (4 * router.logits["det"]).softmax(-1))


def test_noise_is_of_its_iteration_and_of_training() -> None:
    router = topk(noise=[(0, 2.0), (100, 0.0)])
    settled = weights(topk(), 0)
    assert not torch.equal(weights(router, 5), settled)
    assert not torch.equal(weights(router, 5), weights(router, 6))
    torch.manual_seed(9)  # Another process.
    assert torch.equal(
        weights(topk(noise=[(0, 2.0), (100, 0.0)]), 5), weights(router, 5)
    )
    assert torch.equal(weights(router, 100), settled)
    assert torch.equal(weights(router.eval(), 5), settled)


@pytest.mark.parametrize("cls", [TopKRouter, SoftRouter])
def test_frozen_routes_stay_and_have_no_gradient(cls: type[LearnedRouter]) -> None:
    options: dict[str, Any] = dict(noise=1.0, freeze_at=10, init_std=1.0)
    router = cls(
        TASKS, GROUPS, K, **options, **(dict(k=2) if cls is TopKRouter else {})
    )
    for step in (9, 10, 11):
        values = [
            w for r in router.draw("det", step).routes.values() for w in r.weights
        ]
        assert all(value.requires_grad == (step < 10) for value in values)
        assert bool(router.trained_parameters("det", step)) == (step < 10)
    assert torch.equal(weights(router, 10), weights(router, 99))
    assert torch.equal(weights(router, 10), weights(deepcopy(router).eval(), 10))
    assert not torch.equal(weights(router, 9), weights(router, 10))


def build(**options: Any) -> GPPF:
    return build_tiny(dict(type="TopKRouter", k=2, init_std=1.0, **options))


def adamw(model: GPPF, **options: Any) -> OptimWrapper:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.5)
    return OptimWrapper(optimizer, **options)


def train(model: GPPF, optim: OptimWrapper, begin: int, end: int) -> None:
    for iteration in range(begin, end):
        model.network.set_step(iteration)
        model.train_step(tiny_batches(iteration), optim)


def logits(model: GPPF) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.network.router.logits.items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("weighting", [None, dict(type="UPGrad")])
@pytest.mark.parametrize("counts", [1, 3])
def test_frozen_logits_are_bit_equal_over_optimizer_steps(
    counts: int, weighting: dict | None
) -> None:
    model = build_tiny(
        dict(type="TopKRouter", k=2, noise=0.5, freeze_at=4), weighting=weighting
    )
    optim = adamw(model, accumulative_counts=counts)
    train(model, optim, 0, 4)
    # Where steps accumulate, half a step is behind us: its gradient must not count.
    frozen, units = logits(model), dict(model.network.bank.named_parameters())
    before = {name: value.detach().clone() for name, value in units.items()}
    train(model, optim, 4, 12)
    assert equal(logits(model), frozen)
    assert not equal(units, before)
    # They did move before.
    assert not equal(frozen, logits(build_tiny(dict(type="TopKRouter", k=2))))
    for task in NAMES:
        trained = {id(item) for item in model.network.active_parameters(task)}
        assert not trained & {id(item) for item in model.network.router.parameters()}


@pytest.mark.parametrize("saved_at", [2, 4, 6])
def test_a_resumed_run_freezes_as_the_whole_one(saved_at: int) -> None:
    options = dict(noise=[(0, 1.0), (4, 0.0)], freeze_at=4)
    model = build(**options)
    optim = adamw(model)
    train(model, optim, 0, saved_at)
    saved = deepcopy((model.state_dict(), optim.state_dict()))
    train(model, optim, saved_at, 9)

    resumed = build(**options)
    other = adamw(resumed)
    resumed.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(resumed, other, saved_at, 9)
    assert equal(resumed.state_dict(), model.state_dict())


def test_tasks_of_a_list_start_with_the_same_routes() -> None:
    router = topk(affinity=[["seg", "cls"]])
    assert torch.equal(router.logits["seg"], router.logits["cls"])
    assert not torch.equal(router.logits["seg"], router.logits["det"])
    assert router.draw("seg").units() == router.draw("cls").units()
    # They are parameters of their own, and the others start as ever.
    assert router.logits["seg"] is not router.logits["cls"]
    assert torch.equal(router.logits["det"], topk().logits["det"])


def test_initial_routes_are_the_first_plan_and_can_be_left() -> None:
    router = topk(init_std=0.01, initial_routes=dict(det=[1, 3], seg=[0, 2]))
    assert set(router.draw("det").units().values()) == {(1, 3)}
    assert set(router.draw("seg").units().values()) == {(0, 2)}
    plain = topk(init_std=0.01)
    assert torch.equal(router.logits["cls"], plain.logits["cls"])
    moved = router.logits["det"] - plain.logits["det"]
    assert moved.abs().max() < 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(k=[(0, 4), (0, 2)]), r"router\.k` is \[\(0, 4\), \(0, 2\)\]"),
        (dict(k=[(0, 4), (9, 5)]), r"router\.k` is .*num_units` is 4"),
        (dict(k=[(0, 4), (9, 0)]), r"router\.k` is .*1 <= k"),
        (dict(k=2.5), r"router\.k` is 2\.5.*whole numbers"),
        (dict(k=[(0, 4), (9, 1)], shared_units=1), r"shared_units` is 1.*router\.k`"),
        (dict(k=[(0, 1)], gradient="masked_softmax"), "masked_softmax"),
        (dict(temperature=[(0, 1.0), (9, 0.0)]), r"router\.temperature` is .*above 0"),
        (dict(noise=-1), r"router\.noise` is -1"),
        (dict(freeze_at=1.5), r"router\.freeze_at` is 1\.5"),
        (dict(freeze_at=-1), r"router\.freeze_at` is -1"),
        (
            dict(k=[(0, 4), (750, 2)], freeze_at=500),
            r"router\.k` changes up to iteration 750.*freeze_at`, 500",
        ),
        (dict(noise=[(0, 1), (9, 0)], freeze_at=8), r"router\.noise` changes up to"),
        (dict(affinity=[["det", "sge"]]), r"affinity` .*'sge'.*mean 'seg'"),
        (dict(affinity=["det", "seg"]), r"affinity` has the entry 'det'"),
        (dict(affinity=[["det"]]), r"affinity` has the entry \['det'\]"),
        (dict(affinity=[3]), r"affinity` has the entry 3; expected lists"),
        (dict(affinity=3), r"affinity` is 3; expected a list of lists of tasks"),
        (dict(affinity="det"), r"affinity` is 'det'; expected a list of lists"),
        (dict(initial_routes=[[0]]), r"initial_routes` is \[\[0\]\]; expected a dict"),
        (dict(affinity=[["det", "seg"], ["seg", "cls"]]), r"'seg' twice"),
        (dict(initial_routes=dict(dett=[0])), r"initial_routes`.*mean 'det'"),
        (dict(initial_routes=dict(det=[4])), r"initial_routes\.det` is \[4\].*0 to 3"),
        (dict(initial_routes=dict(det=[1, 1])), r"initial_routes\.det` is \[1, 1\]"),
        (dict(initial_routes=dict(det=1)), r"initial_routes\.det` is 1; expected a li"),
        (dict(shared_units=1.0), r"shared_units` is 1\.0.*whole number"),
        (dict(init_std=-1), r"init_std` is -1; expected a number from 0"),
        (dict(init_std="a"), r"init_std` is 'a'; expected a number from 0"),
    ],
)
def test_settings_that_cannot_work(options: dict, named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        topk(**options)


def test_a_choice_that_ends_at_one_unit_may_be_learned_before() -> None:
    topk(k=[(0, 4), (9, 1)], gradient="masked_softmax")
