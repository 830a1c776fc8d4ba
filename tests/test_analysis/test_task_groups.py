import numpy as np
import pytest

from gppf_mm.analysis import Routes, affinity, group_tasks, routes_of_groups

TASKS = ("cells", "scene", "tags", "count", "night")


def routes_near(*groups: tuple[str, ...], noise: float = 0.05) -> Routes:
    """Make soft routes, those of a group around a point of its own."""
    random = np.random.default_rng(0)
    centres = {task: random.dirichlet(np.ones(4), 3) for task, *_ in groups}
    weights = {}
    for first, *_ in groups:
        for task in next(group for group in groups if group[0] == first):
            table = centres[first] + noise * random.random((3, 4))
            weights[task] = table / table.sum(axis=1, keepdims=True)
    weights = {task: weights[task] for task in TASKS}
    names = ("layer1.0", "layer2.0", "layer3.0")
    return Routes(names, ("layer1", "layer2", "layer3"), (4, 4, 4), weights)


def test_alike_tasks_are_grouped_in_the_order_of_the_first():
    planted = [("cells", "count"), ("scene", "night"), ("tags",)]
    assert group_tasks(routes_near(*planted), 3) == planted


@pytest.mark.parametrize("count", range(1, 6))
def test_there_are_as_many_groups_as_asked_for_even_among_equals(count: int):
    equal = routes_near(TASKS, noise=0.0)
    np.testing.assert_allclose(affinity(equal), 1.0)
    groups = group_tasks(equal, count)
    assert len(groups) == count
    assert sorted(task for group in groups for task in group) == sorted(TASKS)


def test_fewer_groups_are_joined_from_more():
    routes = routes_near(("cells",), ("scene", "night"), ("tags", "count"), noise=0.3)
    for count in range(1, 5):
        coarse, fine = group_tasks(routes, count), group_tasks(routes, count + 1)
        assert all(any(set(a) <= set(b) for b in coarse) for a in fine)


def test_tasks_without_a_layer_in_common_are_apart():
    routes = routes_near(TASKS, noise=0.0)
    lacking = routes.weights["tags"].copy()
    lacking[:2] = np.nan
    other = routes.weights["scene"].copy()
    other[2] = np.nan
    weights = dict(routes.weights, tags=lacking, scene=other)
    found = Routes(routes.groups, routes.stages, routes.units, weights)
    assert np.isnan(affinity(found)[1, 2])
    assert not any({"tags", "scene"} <= set(group) for group in group_tasks(found, 2))


@pytest.mark.parametrize("count", [0, 6])
def test_an_impossible_number_is_refused(count: int):
    with pytest.raises(ValueError, match=rf"`--groups` is {count}.*from 1 to 5"):
        group_tasks(routes_near(TASKS), count)


def test_routes_have_one_unit_in_common_and_one_for_each_group():
    routes = routes_of_groups([("a", "c"), ("b",)])
    assert routes == dict(a=[0, 1], c=[0, 1], b=[0, 2])


def test_a_task_of_two_groups_has_the_units_of_both():
    routes = routes_of_groups([("a",), ("a", "b")])
    assert routes == dict(a=[0, 1, 2], b=[0, 2])
