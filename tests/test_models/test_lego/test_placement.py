import pytest
from torch import nn

from gppf_mm.models.lego import check_rules, place_parameters
from tests.stock_backbones import BACKBONES

NORMS = ("BatchNorm2d", "LayerNorm", "LayerNorm2d", "GRN")


@pytest.mark.parametrize("family", BACKBONES)
def test_defaults_on_stock_backbones(family: str) -> None:
    network = BACKBONES[family]()
    placement = place_parameters(network)
    assert list(placement) == [name for name, _ in network.named_parameters()]
    for name, where in placement.items():
        owner = network.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, nn.Conv2d | nn.Linear):
            assert where == "lego", name
        elif type(owner).__name__ in NORMS:
            assert where == "private", name
        else:
            # Position embedding, class token and relative-position tables are left.
            assert where == "shared", name


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("vit", "pos_embed"),
        ("vit", "cls_token"),
        ("swin", "stages.0.blocks.0.attn.w_msa.relative_position_bias_table"),
    ],
)
def test_embeddings_are_shared(family: str, name: str) -> None:
    assert place_parameters(BACKBONES[family]())[name] == "shared"


def test_first_matching_rule_wins() -> None:
    network = BACKBONES["resnet"]()
    rules = [("layer4.*bn*", "lego"), ("layer4.*", "shared"), ("bn1.*", "shared")]
    placement, default = place_parameters(network, rules), place_parameters(network)
    assert placement["layer4.0.bn1.weight"] == "lego"
    assert placement["layer4.0.conv1.weight"] == "shared"
    assert placement["bn1.bias"] == "shared"
    untouched = [name for name in default if not name.startswith(("layer4.", "bn1."))]
    assert untouched
    assert all(placement[name] == default[name] for name in untouched)


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ([("layer9.*", "private")], "layer9"),
        ([("*", "private"), ("layer9.*", "private")], "layer9"),
        ([("conv1.*", "personal")], "personal"),
        ([("conv1.*",)], "conv1"),
    ],
    ids=["no_match", "no_match_behind_a_match", "no_such_placement", "no_pair"],
)
def test_bad_rule_is_an_error(rules: list, named: str) -> None:
    names = [name for name, _ in BACKBONES["resnet"]().named_parameters()]
    with pytest.raises(ValueError, match=rf"lego\.placement.*{named}"):
        check_rules(rules, names)
