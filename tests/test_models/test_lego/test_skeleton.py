from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from gppf_mm.models.lego import Skeleton, place_parameters
from gppf_mm.registry import MODELS
from tests.stock_backbones import BACKBONES


@pytest.fixture
def network() -> nn.Module:
    network = BACKBONES["resnet"]()
    network.eval()
    return network


def taken_out(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().clone()
        for name, parameter in network.named_parameters()
        if "bn" not in name and "downsample.1" not in name
    }


def test_laying_the_same_weights_changes_nothing(network: nn.Module) -> None:
    images, weights = torch.randn(1, 3, 64, 64), taken_out(network)
    expected = network(images)
    skeleton = Skeleton(network, place_parameters(network))
    assert set(skeleton.names) == set(weights)
    skeleton.lay(weights)
    assert all(map(torch.equal, network(images), expected))


def test_only_private_parameters_and_buffers_stay(network: nn.Module) -> None:
    weights, before = taken_out(network), set(network.state_dict())
    skeleton = Skeleton(network, place_parameters(network))
    # A single active unit comes as it is, a parameter of the bank.
    skeleton.lay({name: nn.Parameter(value) for name, value in weights.items()})
    assert set(network.state_dict()) == before - set(weights)
    names = {name for name, _ in network.named_parameters()}
    assert names.isdisjoint(weights)


def test_pass_without_weights_fails(network: nn.Module) -> None:
    weights = taken_out(network)
    skeleton = Skeleton(network, place_parameters(network))
    skeleton.lay(weights)
    skeleton.clear()
    assert network.conv1.weight.shape == weights["conv1.weight"].shape
    assert network.conv1.weight.dtype == torch.float32
    with pytest.raises(RuntimeError, match=r"without its weights.*activate"):
        network(torch.randn(1, 3, 64, 64))


def test_copy_has_places_of_its_own(network: nn.Module) -> None:
    weights = taken_out(network)
    skeleton = Skeleton(network, place_parameters(network))
    copied_network, copied = deepcopy((network, skeleton))
    copied.lay(weights)
    assert copied_network.conv1.weight is weights["conv1.weight"]
    assert network.conv1.weight.is_meta


@pytest.mark.parametrize("frozen_stages", [-1, 1])
def test_frozen_names_are_those_of_the_recipe(frozen_stages: int) -> None:
    network = MODELS.build(
        dict(type="mmdet.ResNet", depth=18, frozen_stages=frozen_stages)
    )
    first = ("conv1.", "layer1.")
    expected = {name for name in taken_out(network) if name.startswith(first)}
    frozen = Skeleton(network, place_parameters(network)).frozen
    assert frozen == (expected if frozen_stages == 1 else set())
