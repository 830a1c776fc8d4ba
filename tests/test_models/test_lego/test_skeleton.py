import warnings
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


class Twice(nn.Module):
    """Has one weight in two layers, one layer in two places and a bare weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.layers = nn.ModuleList([nn.Linear(4, 4)] * 2)
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).sin()).sin() * self.scale
        return self.layers[1](self.layers[0](x).sin())


def weight_norm_of_old(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


class Attention(nn.Module):
    """Hands its weights on to a function, as `nn.MultiheadAttention` does."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x[None]
        return self.layer(self.attention(x, x, x)[0])


class Listed(nn.Module):
    """Keeps parameters in containers of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = nn.ParameterList([torch.randn(4, 4), torch.randn(4, 4)])
        self.named = nn.ParameterDict(dict(bias=torch.randn(4)))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.listed:
            x = x @ weight
        return x + self.named["bias"]


UNUSUAL = dict(
    tied=Twice,
    attention=Attention,
    weight_norm=lambda: weight_norm_of_old(nn.Linear(4, 4)),
    parametrised=lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
    spectral=lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
    listed=Listed,
)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_weights_are_laid_in_and_trained(kind: str, training: bool) -> None:
    network = UNUSUAL[kind]()
    torch.manual_seed(0)
    # Not a copy: PyTorch cannot make one of the old weight norm.
    twin = UNUSUAL[kind]()
    names = [name for name, _ in network.named_parameters()]
    skeleton = Skeleton(network, dict.fromkeys(names, "lego"))
    assert list(network.parameters()) == []
    network.train(training), twin.train(training)
    # Others than it was built with, laid in twice: the first must leave no trace.
    skeleton.lay({name: torch.randn_like(p) for name, p in twin.named_parameters()})
    weights = {}
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.add_(torch.rand_like(parameter))
            weights[name] = parameter.clone().requires_grad_()
    skeleton.lay(weights)
    x = torch.randn(3, 4)
    found, expected = network(x), twin(x)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(weights[name].grad, parameter.grad)


def test_tied_weights_are_named_once() -> None:
    network = Twice()
    placement = dict.fromkeys((name for name, _ in network.named_parameters()), "lego")
    skeleton = Skeleton(network, placement)
    assert skeleton.aliases == {
        "second.weight": "first.weight",
        "layers.1.weight": "layers.0.weight",
        "layers.1.bias": "layers.0.bias",
    }
    names = {"scale", "first.weight", "layers.0.weight", "layers.0.bias"}
    assert set(skeleton.names) == names


def test_recurrent_layer_is_refused() -> None:
    network = nn.Sequential(nn.LSTM(4, 4))
    placement = dict.fromkeys((name for name, _ in network.named_parameters()), "lego")
    with pytest.raises(ValueError, match=r"'0\.weight_ih_l0'.*LSTM.*placement"):
        Skeleton(network, placement)
