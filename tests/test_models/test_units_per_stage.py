"""Different numbers of units in different stages of one network."""

from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from gppf_mm.export import export_state_dict
from gppf_mm.models import (
    GPPF,
    FixedRouter,
    GumbelTopKRouter,
    LearnedRouter,
    SoftRouter,
    TopKRouter,
)
from tests.stand_ins import (
    TASKS,
    batches,
    build_gppf,
    build_stock,
    predictions,
    relative_error,
    task_configs,
)

WIDTH = 8
UNITS = dict(conv1=1, layer1=2, layer2=4, layer3=4, layer4=6)
GROUPS = tuple(UNITS)
K = tuple(UNITS.values())
ROUTERS: dict[str, Any] = dict(
    soft=dict(type="SoftRouter", init_std=1.0),
    top2=dict(type="TopKRouter", k=2, init_std=1.0),
    masked=dict(type="TopKRouter", k=3, gradient="masked_softmax", init_std=1.0),
    shared=dict(type="TopKRouter", k=3, shared_units=2, init_std=1.0),
    gumbel=dict(type="GumbelTopKRouter", k=2, anneal_iters=10, init_std=1.0),
    fixed=dict(type="FixedRouter", routes=dict(det=[0], seg=[1], cls=[0, 1])),
)
every_router = pytest.mark.parametrize("router", ROUTERS.values(), ids=ROUTERS)


def build(router: dict, num_units: Any = K, **lego: Any) -> GPPF:
    torch.manual_seed(0)
    lego = dict(init=dict(perturbation=0.5)) | lego
    return build_gppf(router, num_units, task_configs(WIDTH), lego=lego)


def stage_of(name: str) -> str:
    return name.split(".")[1].replace("bn1", "conv1")


@pytest.mark.parametrize("norm", ["private", "unit"])
@pytest.mark.parametrize("group", ["layer", "block", "stage"])
def test_every_layer_has_the_units_of_its_stage(norm: str, group: str) -> None:
    model = build(dict(ROUTERS["top2"], group=group), norm=norm)
    bank = model.network.bank
    for name in bank.lego_names:
        assert len(bank.units(name)) == UNITS[stage_of(name)], name
    for layer, sets in model.network.statistics._units.items():
        assert len(sets) == UNITS[stage_of(layer)], layer
    assert len(bank.lego_names) == (60 if norm == "unit" else 20)


@pytest.mark.parametrize("share", [("backbone", "neck"), ("neck", "backbone")])
def test_a_list_is_the_backbones_in_any_order_of_share(share: tuple[str, ...]) -> None:
    cfgs = task_configs(WIDTH)
    bank = build_gppf(ROUTERS["top2"], K, cfgs, share=share).network.bank
    for name in bank.lego_names:
        expected = K[-1] if name.startswith("neck.") else UNITS[stage_of(name)]
        assert len(bank.units(name)) == expected, name
    assert any(name.startswith("neck.") for name in bank.lego_names)


@every_router
@pytest.mark.parametrize("norm", ["private", "unit"])
def test_gradients_reach_the_active_units_alone(router: dict, norm: str) -> None:
    model = build(router, norm=norm)
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    model.backward(batches(), OptimWrapper(sgd))
    network = model.network
    reached = 0
    for name in network.bank.lego_names:
        active: set[int] = set()
        for task in TASKS:
            active |= set(network.draw(task).units()[network.groups[name]])
        for index, unit in enumerate(network.bank.units(name)):
            assert (unit.grad is not None) == (index in active), (name, index)
            reached += index in active
    assert reached > 30


@every_router
def test_an_exported_task_predicts_the_same(router: dict) -> None:
    model = build(router, norm="unit")
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    model.train_step(batches(), optimizer)
    model.eval()
    for task in TASKS:
        stock = build_stock(task, WIDTH).eval()
        stock.load_state_dict(export_state_dict(model, task))
        batch = batches(9)[task]
        with torch.no_grad():
            found = predictions(task, stock.test_step(batch))
            expected = predictions(task, model.predict(task, batch))
        assert relative_error(found, expected) < 1e-5


def test_equal_numbers_in_a_list_change_nothing() -> None:
    models = [build(ROUTERS["top2"], units) for units in (4, [4] * 5, [("*", 4)])]
    states = [model.state_dict() for model in models]
    for state in states[1:]:
        assert list(state) == list(states[0])
        assert all(map(torch.equal, state.values(), states[0].values()))


def test_a_single_unit_is_a_shared_stem() -> None:
    routes = dict(type="FixedRouter", routes=dict(det=[0, 1], seg=[1, 2], cls=[2]))
    models = [
        build(routes, [1, 3, 3, 3, 3], init=dict(perturbation=0)),
        build(routes, 3, placement="shared_stem", init=dict(perturbation=0)),
    ]
    for model in models:
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
        for step in range(2):
            model.train_step(batches(step), optimizer)
    for task in TASKS:
        states = [export_state_dict(model, task) for model in models]
        assert all(map(torch.equal, states[0].values(), states[1].values()))


KINDS: dict[str, Any] = dict(
    soft=(SoftRouter, {}),
    topk=(TopKRouter, dict(k=2)),
    masked=(TopKRouter, dict(k=3, gradient="masked_softmax")),
    shared=(TopKRouter, dict(k=3, shared_units=2)),
    gumbel=(GumbelTopKRouter, dict(k=3, anneal_iters=10)),
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def learned(kind: str, limited: bool = True) -> LearnedRouter:
    cls, options = KINDS[kind]
    router = cls(["det"], GROUPS, max(K), init_std=1.0, **options)
    if limited:
        router.limit_units(K)
    return router


@every_kind
@pytest.mark.parametrize("step", [0, 5, 20])
def test_plans_mix_as_many_units_as_there_are(kind: str, step: int) -> None:
    router = learned(kind)
    k = KINDS[kind][1].get("k", max(K))
    for group, route in router.draw("det", step).routes.items():
        assert len(set(route.units)) == len(route.units) == min(k, UNITS[group])
        assert max(route.units) < UNITS[group]
        assert sum(route.values) == pytest.approx(1)
        assert min(route.values) > 0


@every_kind
def test_a_group_of_all_units_is_routed_as_before(kind: str) -> None:
    routes = [
        learned(kind, limited).draw("det", 3).routes["layer4"]
        for limited in (True, False)
    ]
    assert routes[0].units == routes[1].units
    assert routes[0].values == routes[1].values


@every_kind
def test_logits_of_missing_units_never_learn(kind: str) -> None:
    router = learned(kind)
    for route in router.draw("det").routes.values():
        route.weights[0].backward()
    gradient: Tensor = router.logits["det"].grad
    assert gradient.isfinite().all()
    for row, count in zip(gradient, K, strict=True):
        assert not row[count:].any()
        assert row[:count].any() == (count > 1)


def test_probabilities_are_over_the_units_there_are() -> None:
    table = learned("soft").probabilities("det")
    torch.testing.assert_close(table.sum(1), torch.ones(len(K)))
    assert [(row > 0).sum().item() for row in table] == list(K)


def test_fixed_routes_are_checked_against_every_group() -> None:
    router = FixedRouter(["det"], GROUPS, max(K), routes=dict(det=[1, 5]))
    with pytest.raises(ValueError, match=r"routes\.det` is \[1, 5\].*'layer1'.*0 to 1"):
        router.limit_units(K)
    router = FixedRouter(["det"], GROUPS, max(K), routes=dict(det=[1]))
    router.limit_units(K)
    units = router.draw("det").units()
    assert units == dict.fromkeys(GROUPS, (1,)) | dict(conv1=(0,))


def test_first_routes_are_checked_against_every_group() -> None:
    """A unit that a group lacks would be left to chance there."""
    router = SoftRouter(["det"], GROUPS, max(K), initial_routes=dict(det=[1, 5]))
    named = r"initial_routes\.det` is \[1, 5\].*'layer1'.*0 to 1"
    with pytest.raises(ValueError, match=named):
        router.limit_units(K)
    SoftRouter(["det"], GROUPS, max(K), initial_routes=dict(det=[1])).limit_units(K)


def test_a_wrong_number_of_stages_names_them() -> None:
    named = r"`lego\.num_units` is \[4, 4\].* 5 stages .*backbone\.layer4"
    with pytest.raises(ValueError, match=named):
        build(ROUTERS["soft"], [4, 4])
