"""Real stock backbones of many families: gradients, and an export that is the same."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from gppf_mm.export import export_state_dict
from gppf_mm.models import GPPF
from gppf_mm.utils.loading import load_whole
from tests.stand_ins import build_gppf
from tests.stock_backbones import BACKBONES, FAMILIES

ALL = {**BACKBONES, **FAMILIES}
# Deformable convolutions refuse maps smaller than their kernel.
SIZES = dict(swin=32, vit=32, resnet_dcn=96, detectors_resnet=96)


class Features(BaseModel):
    """A stock backbone, and a loss of its features."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.backbone = ALL[family]()

    def features(self, images: Tensor) -> list[Tensor]:
        return list(tensors(self.backbone(images)))

    def forward(self, images: Tensor, mode: str) -> dict[str, Tensor]:
        # Not the squares alone, which a norm at the end makes constant.
        parts = (
            item.square().mean() + (item.flatten() * wave(item)).mean()
            for item in self.features(images)
        )
        return dict(loss=sum(parts, start=torch.zeros(())))


def tensors(value: Tensor | Iterable) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value:
            yield from tensors(item)


def wave(item: Tensor) -> Tensor:
    return torch.arange(item.numel()).sin()


def build(family: str) -> GPPF:
    tasks = {task: dict(type=Features, family=family) for task in ("a", "b")}
    router = dict(type="TopKRouter", k=2, init_std=1.0)
    return build_gppf(router, 3, tasks, lego=dict(init=dict(perturbation=0.1)))


def trained_by_stock(family: str, images: Tensor) -> set[str]:
    """Return the parameters that get a gradient in the stock network."""
    stock = Features(family).train()
    stock(images, mode="loss")["loss"].backward()
    return {
        name
        for name, parameter in stock.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("family", ALL)
def test_a_familys_active_units_train_and_its_export_is_the_same(family: str) -> None:
    model, size = build(family), SIZES.get(family, 64)
    network = model.network
    images = torch.randn(2, 3, size, size)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    model.backward(dict(a=(images,)), optim)
    units, trained = network.draw("a").units(), trained_by_stock(family, images)
    assert trained
    for name in network.bank.lego_names:
        expected = sorted(units[network.groups[name]]) if name in trained else []
        found = [unit.grad is not None for unit in network.bank.units(name)]
        assert [index for index, grad in enumerate(found) if grad] == expected, name
    for name in network.bank.shared_names:
        found = network.bank.parameter(name).grad is not None
        assert found == (name in trained), name
    for name, parameter in model.tasks.a.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name

    model.eval()
    stock = Features(family)
    load_whole(stock, export_state_dict(model, "a"))
    stock.eval()
    with torch.no_grad():
        # Another task's weights leave no trace.
        for task in ("b", "a"):
            with model.activate(task) as inside:
                found = inside.features(images)
        for item, expected in zip(found, stock.features(images), strict=True):
            assert expected.isfinite().all()
            torch.testing.assert_close(item, expected, rtol=1e-5, atol=1e-5)
