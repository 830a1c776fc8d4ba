"""Properties of the routers that learn logits."""

import pytest
import torch
from torch import Tensor

from gppf_mm.models import GumbelTopKRouter, LearnedRouter, SoftRouter, TopKRouter

TASKS = ("det", "seg")
GROUPS = tuple(f"layer{index}" for index in range(6))
K = 5

KINDS = dict(
    soft=(SoftRouter, {}),
    topk=(TopKRouter, dict(k=2)),
    masked=(TopKRouter, dict(k=3, gradient="masked_softmax")),
    shared=(TopKRouter, dict(k=3, shared_units=2)),
    gumbel=(GumbelTopKRouter, dict(k=2, anneal_iters=10)),
    gumbel_shared=(GumbelTopKRouter, dict(k=3, shared_units=1, anneal_iters=10)),
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind: str, seed: int = 0, **others: object) -> LearnedRouter:
    cls, options = KINDS[kind]
    options = dict(dict(init_std=1.0), **options)
    return cls(TASKS, GROUPS, K, seed=seed, **dict(options, **others))


def table(router: LearnedRouter, task: str = "det", step: int = 0) -> Tensor:
    """Return a plan as a dense table of mixing weights, (groups, K)."""
    mix = torch.zeros(len(GROUPS), K)
    for row, group in enumerate(GROUPS):
        route = router.draw(task, step).routes[group]
        mix[row, list(route.units)] = torch.stack(list(route.weights))
    return mix.detach()


@every_kind
@pytest.mark.parametrize("training", [True, False])
def test_weights_are_a_mixture_of_k_units(kind: str, training: bool) -> None:
    router = build(kind).train(training)
    k = KINDS[kind][1].get("k", K)
    for task in TASKS:
        mix = table(router, task, 3)
        assert (mix >= 0).all()
        torch.testing.assert_close(mix.sum(1), torch.ones(len(GROUPS)))
        assert (mix > 0).sum(1).tolist() == [k] * len(GROUPS)


@every_kind
def test_tasks_and_groups_start_apart_and_seeds_repeat(kind: str) -> None:
    router = build(kind)
    rows = torch.cat([router.logits[task] for task in TASKS])
    assert len({tuple(row.tolist()) for row in rows}) == len(rows)
    assert torch.equal(build(kind).logits["det"], router.logits["det"])
    assert not torch.equal(build(kind, seed=1).logits["det"], router.logits["det"])


@pytest.mark.parametrize("shared_units", [0, 1])
def test_the_k_largest_logits_win(shared_units: int) -> None:
    router = build("topk", k=3, shared_units=shared_units)
    logits = router.logits["det"]
    for row, group in zip(logits, GROUPS, strict=True):
        units = set(router.draw("det").routes[group].units)
        rest = set(range(shared_units, K))
        assert units >= set(range(shared_units))
        chosen, left = rest & units, rest - units
        assert len(units) == 3
        assert min(row[list(chosen)]) > max(row[list(left)])


def test_among_equal_units_the_first_win() -> None:
    router = build("topk", init_std=0.0, initial_routes=dict(seg=[3]))
    assert set(router.draw("det").units().values()) == {(0, 1)}
    assert set(router.draw("seg").units().values()) == {(0, 3)}


@pytest.mark.parametrize("kind", ["shared", "gumbel_shared"])
def test_shared_units_are_in_every_mix_however_small_their_logits(kind: str) -> None:
    router = build(kind)
    count = router.shared_units
    with torch.no_grad():
        for logits in router.logits.values():
            logits[:, :count] = -1e4
    for task in TASKS:
        for step in range(5):
            for units in router.draw(task, step).units().values():
                assert units[:count] == tuple(range(count))


@every_kind
def test_mixing_weights_are_the_softmax_over_the_active_units(kind: str) -> None:
    router = build(kind).eval()
    mix = table(router)
    exponentials = router.logits["det"].detach().exp() * (mix > 0)
    expected = exponentials / exponentials.sum(1, keepdim=True)
    torch.testing.assert_close(mix, expected)


def gradient_of_first_weight(router: LearnedRouter) -> Tensor:
    """Differentiate every group's first mixing weight by the logits."""
    for route in router.draw("det").routes.values():
        route.weights[0].backward()
    return router.logits["det"].grad


def test_one_unit_learns_straight_through() -> None:
    router = build("topk", k=1)
    assert table(router)[table(router) > 0].tolist() == [1.0] * len(GROUPS)
    gradient = gradient_of_first_weight(router)
    active = table(router) > 0
    assert (gradient[active] > 0).all()
    assert (gradient[~active] < 0).all()


def test_masked_softmax_leaves_the_logits_of_inactive_units() -> None:
    router = build("masked")
    gradient = gradient_of_first_weight(router)
    active = table(router) > 0
    assert gradient[active].all()
    assert not gradient[~active].any()


@every_kind
def test_a_task_leaves_the_other_tasks_logits(kind: str) -> None:
    router = build(kind)
    gradient_of_first_weight(router)
    assert router.logits["det"].grad is not None
    assert router.logits["seg"].grad is None


@every_kind
def test_gradients_of_several_backward_passes_add_up(kind: str) -> None:
    whole, parts = build(kind), build(kind)
    factors = torch.arange(1.0, 1 + len(GROUPS))
    firsts = [route.weights[0] for route in whole.draw("det").routes.values()]
    (torch.stack(firsts) * factors).sum().backward()
    # As re-entrant checkpointing does: one pass per block, over one plan.
    firsts = [route.weights[0] for route in parts.draw("det").routes.values()]
    for first, factor in zip(firsts, factors, strict=True):
        (first * factor).backward()
    torch.testing.assert_close(parts.logits["det"].grad, whole.logits["det"].grad)


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("topk", dict(k=6), [r"router\.k` is 6", r"num_units` is 5"]),
        ("topk", dict(k=0), [r"router\.k` is 0"]),
        ("topk", dict(k=2, shared_units=2), [r"shared_units` is 2", r"\.k` is 2"]),
        ("topk", dict(k=1, gradient="masked_softmax"), ["masked_softmax", "k` is 1"]),
        ("topk", dict(gradient="none"), ["router.gradient", "'none'"]),
        ("gumbel", dict(temperature=0.0), ["temperature=0.0"]),
        ("gumbel", dict(min_temperature=2.0), ["min_temperature=2.0"]),
        ("gumbel", dict(anneal_iters=0), ["anneal_iters=0"]),
        ("gumbel", dict(anneal_iters=None), ["anneal_iters=None", "expected"]),
        ("gumbel", dict(anneal_iters="10"), ["anneal_iters='10'", "expected"]),
    ],
)
def test_settings_that_cannot_work(kind: str, options: dict, named: list[str]) -> None:
    with pytest.raises(ValueError, match=".*".join(named)):
        build(kind, **options)


def test_one_unit_in_all_needs_no_straight_through() -> None:
    router = TopKRouter(TASKS, GROUPS, 1, k=1, gradient="masked_softmax")
    assert set(router.draw("det").units().values()) == {(0,)}
