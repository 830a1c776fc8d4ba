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


def test_a_whole_unit_is_not_copied_and_its_weight_learns(bank: LegoBank) -> None:
    weight, whole = torch.ones((), requires_grad=True), bank.units("conv.weight")[1]
    routes = plan(Route((1,), (weight,)), Route((2,)))
    found = assemble(bank, routes, GROUPS)["conv.weight"]
    assert found.data_ptr() == whole.data_ptr()
    slope = torch.randn_like(whole)
    found.backward(slope)
    assert torch.equal(whole.grad, slope)
    # The product that a plan of another weight would take.
    product = (whole.detach() * weight * slope).sum()
    (expected,) = torch.autograd.grad(product, weight)
    torch.testing.assert_close(weight.grad, expected)


def test_a_single_unit_of_another_weight_is_scaled(bank: LegoBank) -> None:
    half = torch.tensor(0.5, requires_grad=True)
    found = assemble(bank, plan(Route((1,), (half,)), Route((2,))), GROUPS)
    unit = bank.units("conv.weight")[1]
    assert torch.equal(found["conv.weight"], unit * 0.5)


def test_gradients_of_several_losses_at_once(bank: LegoBank) -> None:
    weight, unit = torch.ones((), requires_grad=True), bank.units("fc.weight")[2]
    fc = assemble(bank, plan(Route((0,)), Route((2,), (weight,))), GROUPS)["fc.weight"]
    losses = fc.square().sum(dim=1)
    found = torch.autograd.grad(
        losses, (weight, unit), torch.eye(len(losses)), is_grads_batched=True
    )
    expected = 2 * unit.square().sum(dim=1)
    torch.testing.assert_close(found[0], expected)
    assert found[1].shape == (len(losses), *unit.shape)
