"""Placements by name, on stock backbones."""

import pytest
from torch import nn

from gppf_mm.models import LegoNetwork
from gppf_mm.models.lego import find_preset, is_norm, place_parameters
from tests.stock_backbones import BACKBONES, FAMILIES

ALL = {**BACKBONES, **FAMILIES}
every_family = pytest.mark.parametrize("family", ["resnet", "swin", "vit", "mit"])


def compare(family: str, preset: str, norm: str = "private") -> tuple[nn.Module, dict]:
    """Return a network, and by name what a preset makes of each lego parameter."""
    network = ALL[family]()
    default = place_parameters(network, norm=norm)
    found = place_parameters(network, preset=preset, norm=norm)
    for name, where in default.items():
        # A preset touches nothing else.
        assert found[name] == where or (where, found[name]) == ("lego", "shared")
    return network, {n: to for n, to in found.items() if default[n] == "lego"}


@every_family
def test_conv_leaves_convolutions_their_units(family: str) -> None:
    network, found = compare(family, "conv")
    for name, where in found.items():
        owner = network.get_submodule(name.rpartition(".")[0])
        assert (where == "lego") == isinstance(owner, nn.Conv2d), name


@pytest.mark.parametrize("family", ["swin", "vit", "mit"])
def test_ffn_shares_attention(family: str) -> None:
    _, found = compare(family, "ffn")
    attention = [name for name in found if "attn" in name]
    feed_forward = [name for name in found if ".ffn." in name]
    assert attention
    assert feed_forward
    assert {found[name] for name in attention} == {"shared"}
    assert {found[name] for name in feed_forward} == {"lego"}


@pytest.mark.parametrize(
    ("family", "stems"),
    [
        ("resnet", ("conv1.",)),
        ("swin", ("patch_embed.",)),
        ("vit", ("patch_embed.",)),
        ("hrnet", ("conv1.", "conv2.")),
        ("convnext", ("downsample_layers.0.",)),
        ("resnet_v1d_dcn", ("stem.",)),
    ],
)
def test_shared_stem(family: str, stems: tuple[str, ...]) -> None:
    _, found = compare(family, "shared_stem")
    shared = {name for name, where in found.items() if where == "shared"}
    assert shared == {name for name in found if name.startswith(stems)}
    assert shared


def test_a_shared_stem_shares_its_norms_and_conv_leaves_norms_alone() -> None:
    network, found = compare("resnet", "shared_stem", norm="unit")
    assert found["bn1.weight"] == "shared"
    assert found["layer1.0.bn1.weight"] == "lego"
    network, found = compare("resnet", "conv", norm="unit")
    norms = [
        name
        for name in found
        if is_norm(network.get_submodule(name.rpartition(".")[0]))
    ]
    assert norms
    assert {found[name] for name in norms} == {"lego"}


def test_a_preset_stands_alone_or_among_rules_which_win() -> None:
    rule = ("layer4.*", "private")
    assert find_preset("conv") == ("conv", [])
    assert find_preset([rule]) == ("default", [rule])
    assert find_preset(["shared_stem", rule]) == ("shared_stem", [rule])
    assert find_preset([rule, "shared_stem"]) == ("shared_stem", [rule])


@pytest.mark.parametrize(
    ("placement", "named"),
    [
        ("stem", "'stem'.*'shared_stem'"),
        (("*.bn*", "private"), r"'\*\.bn\*'.*pairs.*: \[\('\*\.bn\*', 'private'\)\]"),
        (3, r"is 3; expected .*'shared_stem'.*pairs in a list"),
        (None, "is None; expected"),
        (["conv", "ffn"], r"\['conv', 'ffn'\].*one at most"),
    ],
)
def test_presets_that_are_none(placement: object, named: str) -> None:
    with pytest.raises(ValueError, match=rf"lego\.placement` .*{named}"):
        find_preset(placement)


def test_a_preset_that_leaves_nothing_is_an_error() -> None:
    router = dict(type="SoftRouter")
    parts = {"det": {"backbone": BACKBONES["resnet"]()}}
    with pytest.raises(ValueError, match=r"'ffn' of `lego\.placement`.*no layer"):
        LegoNetwork(parts, 2, router, "ffn")


def test_a_network_is_placed_by_preset_and_rules() -> None:
    parts = {"det": {"backbone": BACKBONES["resnet"]()}}
    rules = [("backbone.layer4.*", "shared"), "shared_stem"]
    bank = LegoNetwork(parts, 2, dict(type="SoftRouter"), rules).bank
    stages = {name.split(".")[1] for name in bank.lego_names}
    assert stages == {"layer1", "layer2", "layer3"}
    assert "backbone.conv1.weight" in bank.shared_names
