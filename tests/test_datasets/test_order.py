import pytest
from mmengine.dataset import DefaultSampler

from gppf_mm.datasets.order import OrderSampler, epoch_order


def stock_samplers(size: int, world_size: int, **options: bool) -> list[DefaultSampler]:
    """Return the stock sampler of each rank."""
    samplers = []
    for rank in range(world_size):
        with pytest.MonkeyPatch.context() as patch:
            info = (rank, world_size)
            patch.setattr("mmengine.dataset.sampler.get_dist_info", lambda at=info: at)
            samplers.append(DefaultSampler(range(size), seed=5, **options))
    return samplers


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("round_up", [True, False])
@pytest.mark.parametrize(
    ("size", "world_size"), [(1, 1), (10, 1), (10, 3), (12, 4), (3, 8), (40_000, 2)]
)
def test_the_order_is_the_stock_samplers(
    size: int, world_size: int, shuffle: bool, round_up: bool
):
    for sampler in stock_samplers(size, world_size, shuffle=shuffle, round_up=round_up):
        for epoch in (0, 7):
            sampler.set_epoch(epoch)
            wanted = list(sampler)
            order = epoch_order(sampler, epoch)
            assert order.tolist() == wanted
            given = OrderSampler(sampler, order[1:])
            assert list(given) == wanted[1:]
            assert len(given) == len(wanted[1:])
