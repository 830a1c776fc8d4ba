import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gppf_mm.models.lego import LegoBank, Route, RoutingPlan, assemble

GROUPS = {"conv.weight": "conv", "conv.bias": "conv", "fc.weight": "fc"}


@pytest.fixture
def bank() -> LegoBank:
    lego = {
        "conv.weight": torch.zeros(5, 3, 3, 3),
        "conv.bias": torch.zeros(5),
        "fc.weight": torch.zeros(7, 4),
    }
    bank = LegoBank(lego, {"pos_embed": torch.randn(1, 4)}, 4)
    for unit in bank.lego.parameters():
        nn.init.normal_(unit)
    return bank


def plan(conv: Route, fc: Route) -> RoutingPlan:
    return RoutingPlan("det", {"conv": conv, "fc": fc})


def test_mixing_weights_is_mixing_outputs(bank: LegoBank) -> None:
    mix = torch.tensor([0.2, 0.5, 0.3])
    weights = assemble(bank, plan(Route((0, 1, 3), mix.unbind()), Route((2,))), GROUPS)
    images = torch.randn(2, 3, 8, 8)
    outputs = [
        F.conv2d(images, kernel, bias)
        for kernel, bias in zip(
            bank.units("conv.weight"), bank.units("conv.bias"), strict=True
        )
    ]
    expected = sum(g * outputs[unit] for g, unit in zip(mix, (0, 1, 3), strict=True))
    found = F.conv2d(images, weights["conv.weight"], weights["conv.bias"])
    torch.testing.assert_close(found, expected)


def test_single_unit_and_shared_parameter_come_as_they_are(bank: LegoBank) -> None:
    weights = assemble(bank, plan(Route((1,)), Route((2,))), GROUPS)
    assert weights["conv.weight"] is bank.units("conv.weight")[1]
    assert weights["fc.weight"] is bank.units("fc.weight")[2]
    assert weights["pos_embed"] is bank.parameter("pos_embed")


def test_inactive_units_get_no_gradient(bank: LegoBank) -> None:
    mix = torch.tensor([0.5, 0.5]).unbind()
    weights = assemble(bank, plan(Route((0, 3), mix), Route((2,))), GROUPS)
    sum(weight.sum() for weight in weights.values()).backward()
    active = {
        name: [unit.grad is not None for unit in bank.units(name)]
        for name in bank.lego_names
    }
    assert active == {
        "conv.weight": [True, False, False, True],
        "conv.bias": [True, False, False, True],
        "fc.weight": [False, False, True, False],
    }


def test_no_gradient_through_frozen_names(bank: LegoBank) -> None:
    mix = torch.tensor([0.5, 0.5], requires_grad=True)
    routes = plan(Route((0, 3), mix.unbind()), Route((2,)))
    frozen = frozenset({"conv.weight", "fc.weight", "pos_embed"})
    weights = assemble(bank, routes, GROUPS, frozen)
    learning = {name for name, value in weights.items() if value.requires_grad}
    assert learning == {"conv.bias"}
    values = assemble(bank, routes, GROUPS)
    assert all(torch.equal(weights[name], values[name]) for name in values)
