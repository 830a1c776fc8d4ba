import numpy as np
import pytest
import torch

from gppf_mm.analysis import (
    RouteHistory,
    Routes,
    affinity,
    affinity_by_stage,
    read_routes,
    unit_usage,
)
from gppf_mm.registry import MODELS
from tests.some_routes import one_group, random_routes
from tests.stand_ins import TASKS, build_gppf, task_configs

ROUTERS = dict(
    one_hot=dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[2])),
    topk=dict(type="TopKRouter", k=2, group="stage", init_std=1.0),
    gumbel=dict(type="GumbelTopKRouter", k=2, anneal_iters=100, init_std=1.0),
)


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("task", TASKS)
def test_weights_assemble_what_evaluation_runs_with(router: str, task: str):
    model = build_gppf(ROUTERS[router], lego=dict(init=dict(perturbation=0.5)))
    routes = read_routes(model.train())
    assert model.network.training
    assert model.network.router.training
    network = model.eval().network
    with torch.no_grad():
        for name, expected in network.weights(task).items():
            row = routes.weights[task][routes.groups.index(network.groups[name])]
            units = network.bank.units(name)
            mixed = sum(float(w) * unit for w, unit in zip(row, units, strict=True))
            torch.testing.assert_close(mixed, expected, rtol=1e-5, atol=1e-6)


def test_groups_follow_the_network_and_know_their_stage():
    routes = read_routes(build_gppf(ROUTERS["gumbel"]))
    assert routes.labels()[:3] == ("conv1", "layer1.0", "layer1.1")
    stages = dict(zip(routes.labels(), routes.stages, strict=True))
    assert stages["layer3.1"] == "backbone.layer3"
    assert routes.stage_labels() == ("conv1", "layer1", "layer2", "layer3", "layer4")


def test_reading_leaves_the_plan_of_the_step_alone():
    model = build_gppf(ROUTERS["gumbel"]).train()
    plan = model.network.draw("det")
    noiseless = read_routes(model).weights["det"]
    assert model.network.draw("det") is plan
    noisy = [sorted(units) for units in plan.units().values()]
    assert noisy != [list(np.flatnonzero(row)) for row in noiseless]


def test_groups_may_have_fewer_units_than_others():
    units = [1, 2, 4, 4, 4]
    lego = dict(num_units=units, router=ROUTERS["topk"])
    cfg = dict(type="GPPF", tasks=task_configs(), lego=lego)
    routes = read_routes(MODELS.build(cfg))
    assert routes.units == tuple(units)
    for table in routes.weights.values():
        assert np.nansum(table, axis=1) == pytest.approx(1)
        assert (np.isnan(table).sum(axis=1) == 4 - np.array(units)).all()


def test_a_task_without_a_part_has_no_weights_there():
    tasks = task_configs()
    router = dict(ROUTERS["topk"])
    model = build_gppf(router, tasks=tasks, share=("backbone", "neck"))
    routes = read_routes(model)
    neck = [group.startswith("neck") for group in routes.groups]
    assert any(neck)
    assert np.isnan(routes.weights["cls"][neck]).all()
    assert not np.isnan(routes.weights["det"]).any()


def naive_affinity(a: np.ndarray, b: np.ndarray) -> float:
    cosines = []
    for left, right in zip(a, b, strict=True):
        known = ~np.isnan(left) & ~np.isnan(right)
        if known.any():
            left, right = left[known], right[known]
            lengths = np.sqrt((left**2).sum() * (right**2).sum())
            cosines.append((left * right).sum() / lengths)
    return float(np.mean(cosines))


def test_affinity_is_the_mean_cosine():
    routes = random_routes()
    found = affinity(routes)
    assert np.diag(found) == pytest.approx(1)
    assert found == pytest.approx(found.T)
    for i, a in enumerate(routes.weights.values()):
        for j, b in enumerate(routes.weights.values()):
            assert found[i, j] == pytest.approx(naive_affinity(a, b))
    assert ((found >= 0) & (found <= 1)).all()


def test_affinity_of_extremes():
    found = affinity(one_group(a=[0.3, 0.7, 0, 0], b=[0, 0, 0.5, 0.5], c=[1, 1, 1, 1]))
    assert found[0, 1] == 0
    assert found[1, 2] == pytest.approx(np.sqrt(0.5))


def test_stages_average_to_the_whole():
    """Weighted by their groups, where all tasks have all of them."""
    routes = random_routes(tasks="ab").select(("a",))
    routes = Routes(
        routes.groups,
        routes.stages,
        routes.units,
        {"a": routes.weights["a"], "c": random_routes(1).weights["a"]},
    )
    stages = affinity_by_stage(routes)
    assert list(stages) == ["a", "b"]
    mean = (2 * stages["a"] + 3 * stages["b"]) / 5
    assert mean == pytest.approx(affinity(routes))


def test_tasks_without_a_common_group_have_no_affinity():
    routes = random_routes(tasks="ab").select(("a", "b"))
    alone = Routes(routes.groups, routes.groups, routes.units, routes.weights)
    by_group = affinity_by_stage(alone)
    assert np.isnan(by_group["b.1"][0, 1])
    assert by_group["b.1"][0, 0] == 1
    assert not np.isnan(affinity(routes)).any()


def test_usage_sums_to_tasks_and_active_units():
    routes = random_routes()
    counts, sums = unit_usage(routes)
    having = np.array([3, 3, 3, 2, 3])  # b lacks a group.
    assert np.nansum(sums, axis=1) == pytest.approx(having)
    assert np.nansum(counts, axis=1) == pytest.approx(2 * having)
    assert (np.isnan(counts).sum(axis=1) == [0, 0, 1, 0, 1]).all()


def test_movement_from_disjoint_to_equal_routes():
    moments = [
        one_group(a=[1, 0, 0, 0], b=[0, 0, 0, 1]),
        one_group(a=[0.5, 0.5, 0, 0], b=[0, 0, 0, 1]),
        one_group(a=[0, 0.5, 0.5, 0], b=[0, 0, 0, 1]),
        one_group(a=[0, 0.25, 0.75, 0], b=[0, 0, 0, 1]),
    ]
    history = RouteHistory([0, 10, 20, 30], moments)
    assert history.distances_to_last("a") == pytest.approx([1, 0.75, 0.25, 0])
    assert history.distances_to_last("b") == pytest.approx([0, 0, 0, 0])
    assert history.effective_units("a")[:3] == pytest.approx([1, 2, 2])
    assert 1 < history.effective_units("a")[3] < 2
    assert history.mean_affinity() == pytest.approx(np.zeros(4))
    assert history.last_switch("a") == 20
    assert history.last_switch("b") is None


def test_movement_leaves_out_groups_that_a_task_lacks():
    history = RouteHistory([0, 1], [random_routes(0), random_routes(1)])
    for task in history.tasks:
        assert np.isfinite(history.distances_to_last(task)).all()
        assert (history.effective_units(task) <= 2 + 1e-9).all()
        tables = history.of(task)
        kept = [row for row in range(5) if not np.isnan(tables[0, row]).all()]
        naive = np.mean([np.nansum(abs(tables[0, r] - tables[1, r])) / 2 for r in kept])
        assert history.distances_to_last(task)[0] == pytest.approx(naive)
