"""Running statistics of units, against a naive reference."""

import pytest
import torch
from torch import Tensor, nn

from gppf_mm.models.lego import (
    STATISTICS,
    Route,
    RoutingPlan,
    RunningStatistics,
    find_statistics,
)

MIX = (0.75, 0.25)


def drawn(momentum: float | None = 0.1, units: int = 3) -> RunningStatistics:
    """Return the statistics of a layer whose units differ."""
    statistics = RunningStatistics({"bn": layer(momentum)}, {"bn": units}, {"bn": "g"})
    for index, unit in enumerate(statistics.bn.units):
        unit.running_mean.normal_()
        unit.running_var.uniform_(0.5, 2)
        unit.num_batches_tracked.fill_(10 * index)
    return statistics


def layer(momentum: float | None = 0.1) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(4, momentum=momentum)


def plan(units: tuple[int, ...], values: tuple[float, ...] | None) -> RoutingPlan:
    weights = None if values is None else torch.tensor(values).unbind()
    return RoutingPlan("det", {"g": Route(units, weights)})


def lay(statistics: RunningStatistics, route: RoutingPlan, norm: nn.Module) -> None:
    for leaf, value in statistics.assemble(route, ["bn"]).items():
        setattr(norm, leaf.removeprefix("bn."), value)


def values(unit: nn.Module) -> list[Tensor]:
    return [getattr(unit, leaf).clone() for leaf in STATISTICS]


def batch(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 4, 5, 5, generator=generator) * 3 + 1


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    return images.mean((0, 2, 3)), images.transpose(0, 1).flatten(1).var(1)


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
@pytest.mark.parametrize("passes", [0, 1, 3])
def test_active_units_move_towards_the_batch_by_their_weights(
    momentum: float | None, passes: int
) -> None:
    statistics, norm = drawn(momentum), layer(momentum)
    units = list(statistics.bn.units)
    before = [values(unit) for unit in units]
    route = plan((0, 2), MIX)
    lay(statistics, route, norm)
    counter = norm.num_batches_tracked.item()
    assert counter == round(0.75 * 0 + 0.25 * 20)
    for _ in range(passes):  # As recomputation does: the same batch again.
        norm(batch())
    statistics.absorb(route, {"bn": norm})

    rate = 1 - (1 - (momentum or 0)) ** passes
    if momentum is None:
        rate = passes / (counter + passes)
    squares = sum(weight**2 for weight in MIX)
    for unit, old, weight in zip((0, 2), (before[0], before[2]), MIX, strict=True):
        own = min(rate * weight / squares, 1.0)
        for index, target in enumerate(moments(batch())):
            expected = old[index] + own * (target - old[index])
            found = values(units[unit])[index]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert values(units[unit])[2] == old[2] + passes
    for old, new in zip(before[1], values(units[1]), strict=True):
        assert torch.equal(old, new)


def test_a_mixture_of_equal_units_moves_as_a_stock_layer() -> None:
    statistics, norm, stock = drawn(), layer(), layer()
    first = statistics.bn.units[0]
    for unit in statistics.bn.units:
        unit.load_state_dict(first.state_dict())
    stock.load_state_dict(first.state_dict(), strict=False)
    route = plan((0, 1, 2), (0.5, 0.3, 0.2))
    for seed in range(3):
        lay(statistics, route, norm)
        assert torch.equal(norm(batch(seed)), stock(batch(seed)))
        statistics.absorb(route, {"bn": norm})
        mixed = statistics.assemble(route, ["bn"])
        if seed == 0:  # Later the units have parted.
            for leaf in STATISTICS:
                torch.testing.assert_close(mixed[f"bn.{leaf}"], getattr(stock, leaf))


def test_variances_stay_within_what_was_seen() -> None:
    """A rule that kept mixtures exact could drive a light unit below zero."""
    statistics, norm = drawn(momentum=0.9), layer(0.9)
    with torch.no_grad():
        for unit, variance in zip(statistics.bn.units, (0.01, 9.0, 9.0), strict=True):
            unit.running_var.fill_(variance)
    for seed in range(20):
        route = plan((0, 1, 2), ((0.6, 0.2, 0.2), (0.1, 0.1, 0.8))[seed % 2])
        lay(statistics, route, norm)
        norm(batch(seed) * 0.01)
        statistics.absorb(route, {"bn": norm})
        for unit in statistics.bn.units:
            assert (unit.running_var > 0).all()
            assert (unit.running_var <= 9.0).all()


def test_a_single_unit_is_updated_in_place_and_bit_equal() -> None:
    statistics, norm, stock = drawn(), layer(), layer()
    unit = statistics.bn.units[1]
    stock.load_state_dict(unit.state_dict(), strict=False)
    route = plan((1,), None)
    lay(statistics, route, norm)
    assert norm.running_mean is unit.running_mean
    norm(batch())
    stock(batch())
    statistics.absorb(route, {"bn": norm})
    for leaf in STATISTICS:
        assert torch.equal(getattr(unit, leaf), getattr(stock, leaf))


def test_a_layer_in_evaluation_moves_nothing() -> None:
    statistics, norm = drawn(), layer().eval()
    before = [values(unit) for unit in statistics.bn.units]
    route = plan((0, 1), MIX)
    lay(statistics, route, norm)
    norm(batch())
    statistics.absorb(route, {"bn": norm})
    for old, unit in zip(before, statistics.bn.units, strict=True):
        assert all(map(torch.equal, old, values(unit)))


def test_layers_without_such_statistics_are_left_out() -> None:
    network = nn.Sequential(
        nn.BatchNorm2d(2),
        nn.BatchNorm2d(2, affine=False),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.InstanceNorm2d(2, affine=True, track_running_stats=True),
        nn.LayerNorm(2),
        nn.GroupNorm(1, 2),
        nn.SyncBatchNorm(2),
    )
    assert [name for name, _ in find_statistics(network)] == ["0", "6"]
