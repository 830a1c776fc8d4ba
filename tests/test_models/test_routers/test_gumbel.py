from collections import Counter

import pytest
import torch

from gppf_mm.models import GumbelTopKRouter, TopKRouter
from gppf_mm.models.lego import RoutingPlan

GROUPS = tuple(f"layer{index}" for index in range(40))


def build(groups: tuple[str, ...] = GROUPS, **options: object) -> GumbelTopKRouter:
    defaults = dict(num_units=4, k=2, anneal_iters=100)
    return GumbelTopKRouter(("det", "seg"), groups, **dict(defaults, **options))


def weights(plan: RoutingPlan, group: str) -> torch.Tensor:
    return torch.stack(list(plan.routes[group].weights)).detach()


def equal(one: RoutingPlan, other: RoutingPlan) -> bool:
    return one.units() == other.units() and all(
        torch.equal(weights(one, group), weights(other, group)) for group in one.routes
    )


def test_plan_depends_on_seed_task_and_step_alone() -> None:
    router = build()
    plan = router.draw("det", 7)
    # Another process, as a rank or after a restart: it drew other things before.
    torch.manual_seed(123)
    other = build()
    other.draw("seg", 7)
    torch.rand(5)
    assert equal(other.draw("det", 7), plan)
    assert equal(router.draw("det", 7), plan)
    for seed, task, step in ((0, "det", 8), (0, "seg", 7), (1, "det", 7)):
        changed = build(seed=seed)
        with torch.no_grad():
            changed.logits[task].copy_(router.logits["det"])
        assert changed.draw(task, step).units() != plan.units()


def test_drawing_leaves_the_global_generator() -> None:
    router, before = build(), torch.get_rng_state()
    router.draw("det", 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_first_choices_are_samples_of_the_softmax() -> None:
    count = 4000
    router = build(tuple(map(str, range(count))), k=1, temperature=0.5)
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5])
    with torch.no_grad():
        router.logits["det"].copy_(logits.expand(count, 4))
    units = Counter(unit for (unit,) in router.draw("det").units().values())
    shares = torch.tensor([units[unit] / count for unit in range(4)])
    # Three standard deviations of a share are at most 0.024.
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.024, rtol=0)


@pytest.mark.parametrize(
    ("training", "step"), [(False, 0), (False, 50), (True, 100), (True, 10_000)]
)
def test_no_noise_in_evaluation_nor_after_annealing(training: bool, step: int) -> None:
    router = build(init_std=1.0).train(training)
    greedy = TopKRouter(router.tasks, GROUPS, 4, k=2, init_std=1.0)
    assert router.draw("det", step).units() == greedy.draw("det").units()


@pytest.mark.parametrize(
    ("step", "temperature"), [(0, 2.0), (50, 1.0), (100, 0.5), (300, 0.5)]
)
def test_temperature_falls_geometrically_and_stays(
    step: int, temperature: float
) -> None:
    router = build(init_std=1.0, temperature=2.0, min_temperature=0.5).eval()
    plan = router.draw("det", step)
    for row, group in zip(router.logits["det"].detach(), GROUPS, strict=True):
        expected = row.topk(2).values.div(temperature).softmax(0)
        found = weights(plan, group).sort(descending=True).values
        torch.testing.assert_close(found, expected)


def test_noise_falls_with_the_steps() -> None:
    router = build(init_std=1.0)
    settled = router.eval().draw("det").units()
    router.train()

    def strays(step: int) -> int:
        drawn = router.draw("det", step).units()
        return sum(drawn[group] != settled[group] for group in GROUPS)

    early, late = (sum(map(strays, range(start, start + 10))) for start in (0, 90))
    assert early > 2 * late


def test_fewer_units_as_the_run_goes_on() -> None:
    router = build(k=[(0, 4), (10, 2)])
    for step, active in ((9, 4), (10, 2)):
        units = router.draw("det", step).units().values()
        assert {len(chosen) for chosen in units} == {active}
