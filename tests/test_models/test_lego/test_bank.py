from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from gppf_mm.models.lego import LegoBank

SHAPES = {
    "stem.weight": (64, 3, 7, 7),
    "layer.0.weight": (64, 64),
    "layer.0.bias": (64,),
}
POSITIONS = "pos_embed"


def values(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()
    }
    return {**drawn, POSITIONS: torch.randn(1, 5, 8, generator=generator)}


def build(num_units: int = 4) -> LegoBank:
    lego = values()
    return LegoBank(lego, {POSITIONS: lego.pop(POSITIONS)}, num_units)


def test_every_unit_is_a_parameter_of_its_own() -> None:
    bank = build()
    assert bank.lego_names == tuple(SHAPES)
    assert bank.shared_names == (POSITIONS,)
    for name in bank.lego_names:
        units = bank.units(name)
        assert len({unit.data_ptr() for unit in units}) == 4
        assert all(isinstance(unit, nn.Parameter) for unit in units)
        assert all(torch.equal(unit, values()[name]) for unit in units)
    registered = {id(parameter) for parameter in bank.parameters()}
    reached = {id(unit) for name in bank.lego_names for unit in bank.units(name)}
    assert registered == reached | {id(bank.parameter(POSITIONS))}


def test_names_follow_the_stock_network() -> None:
    names = set(build(2).state_dict())
    assert names == {
        "lego.stem.units.0.weight",
        "lego.stem.units.1.weight",
        "lego.layer.0.units.0.weight",
        "lego.layer.0.units.0.bias",
        "lego.layer.0.units.1.weight",
        "lego.layer.0.units.1.bias",
        "shared.pos_embed",
    }


def test_values_do_not_alias_those_of_the_stock_network() -> None:
    given = values()
    positions = given.pop(POSITIONS)
    bank = LegoBank(given, {POSITIONS: positions}, 2)
    positions.zero_()
    for value in given.values():
        value.zero_()
    assert torch.equal(bank.parameter(POSITIONS), values()[POSITIONS])
    assert torch.equal(bank.units("stem.weight")[0], values()["stem.weight"])


def test_units_are_equal_without_perturbation() -> None:
    bank = build()
    bank.fill([values(1)])
    for name in bank.lego_names:
        assert all(torch.equal(unit, values(1)[name]) for unit in bank.units(name))
    assert torch.equal(bank.parameter(POSITIONS), values(1)[POSITIONS])


@pytest.mark.parametrize("perturbation", [0.01, 0.3])
def test_perturbation_is_relative_and_parts_all_units(perturbation: float) -> None:
    bank = build()
    drawn = {name: 20 * value for name, value in values(1).items()}
    bank.fill([drawn], perturbation)
    value = drawn["stem.weight"]
    noise = [
        (unit - value) / value.square().mean().sqrt()
        for unit in bank.units("stem.weight")
    ]
    for one in noise:
        # 9408 values: the deviation of the estimate is 0.7%.
        assert one.std().item() == pytest.approx(perturbation, rel=0.05)
        assert abs(one.mean().item()) < 0.05 * perturbation
    for one, other in combinations(noise, 2):
        correlation = (one * other).mean() / perturbation**2
        assert abs(correlation.item()) < 0.05
    # A shared parameter has no other one to part from.
    assert torch.equal(bank.parameter(POSITIONS), drawn[POSITIONS])


def test_perturbation_leaves_zeros() -> None:
    bank = build()
    bank.fill([dict(values(), **{"layer.0.bias": torch.zeros(64)})], 0.1)
    assert not torch.stack(bank.units("layer.0.bias")).any()


def test_independent_draws_go_to_one_unit_each() -> None:
    bank = build()
    bank.fill([values(seed) for seed in range(4)])
    for name in bank.lego_names:
        for seed, unit in enumerate(bank.units(name)):
            assert torch.equal(unit, values(seed)[name])
    assert torch.equal(bank.parameter(POSITIONS), values(0)[POSITIONS])


def test_fewer_draws_are_taken_in_turn_and_equal_units_part() -> None:
    bank = build(3)
    bank.fill([values(0), values(1)], perturbation=0.1)
    for name in bank.lego_names:
        first, second, third = bank.units(name)
        assert torch.equal(second, values(1)[name])
        assert not torch.equal(first, values(0)[name])
        assert not torch.equal(first, third)
        torch.testing.assert_close(first, values(0)[name], rtol=0, atol=1)


def test_layers_may_have_different_numbers_of_units() -> None:
    numbers = {name: count for count, name in enumerate(SHAPES, start=2)}
    numbers["layer.0.bias"] = numbers["layer.0.weight"]
    bank = LegoBank({name: values()[name] for name in SHAPES}, {}, numbers)
    assert bank.num_units == 3
    bank.fill([values(seed) for seed in range(3)])
    for name, count in numbers.items():
        assert len(bank.units(name)) == count
        for seed, unit in enumerate(bank.units(name)):
            assert torch.equal(unit, values(seed)[name])


def test_other_numbers_of_draws_are_an_error() -> None:
    for number in (0, 5):
        with pytest.raises(ValueError, match=rf"4 units.*{number} sets"):
            build().fill([values(seed) for seed in range(number)])


def test_no_units_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"lego\.num_units.*0"):
        build(0)
