import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn

from gppf_mm.models.lego import check_rules, place_parameters
from tests.stock_backbones import BACKBONES, FAMILIES

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


_BIAS_TABLE = "relative_position_bias_table"


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("vit", "pos_embed"),
        ("vit", "cls_token"),
        ("deit", "dist_token"),
        ("swin", f"stages.0.blocks.0.attn.w_msa.{_BIAS_TABLE}"),
        ("swin_mmdet", f"stages.0.blocks.0.attn.w_msa.{_BIAS_TABLE}"),
        ("swin_mmdet", "absolute_pos_embed"),
        ("beit", f"layers.0.attn.{_BIAS_TABLE}"),
        ("beit_mmseg", f"layers.0.attn.{_BIAS_TABLE}"),
        ("pvt", "layers.0.1.0.pos_embed"),
        ("levit", "stages.0.0.block.attention_biases"),
        ("mvit", "blocks.0.attn.rel_pos_h"),
        ("tnt", "patch_pos"),
    ],
)
def test_embeddings_are_shared(family: str, name: str) -> None:
    network = {**BACKBONES, **FAMILIES}[family]()
    assert place_parameters(network)[name] == "shared"


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("vit_layer_scale", "layers.0.attn.gamma1.weight"),
        ("beit", "layers.0.gamma_1"),
        ("beit", "layers.0.attn.q_bias"),
        ("xcit", "xca_layers.0.gamma1"),
        ("poolformer", "network.0.0.layer_scale_1"),
        ("mit", "layers.0.1.0.attn.attn.in_proj_weight"),
        ("resnet_v1d_dcn", "layer2.0.conv2.weight"),
        ("resnet_weight_standardised", "layer2.0.conv2.weight"),
    ],
)
def test_layers_and_their_scales_are_lego(family: str, name: str) -> None:
    assert place_parameters(FAMILIES[family]())[name] == "lego"


class BatchNormAct2d(nn.BatchNorm2d):
    """A norm by the name that timm gives to one with its activation."""


class NormedConv2d(nn.Conv2d):
    """A convolution by the name that mmdet gives to one with normalised weights."""


def test_norms_are_known_by_any_of_their_names() -> None:
    network = nn.Sequential(
        revert_sync_batchnorm(nn.SyncBatchNorm(4)),
        BatchNormAct2d(4),
        NormedConv2d(4, 4, 1),
    )
    assert list(place_parameters(network).values()) == ["private"] * 4 + ["lego"] * 2


def test_what_cannot_be_mixed_is_private_and_embeddings_are_one() -> None:
    network = nn.Sequential(nn.Embedding(4, 4), nn.LSTM(4, 4))
    network.counts = nn.Parameter(torch.arange(3), requires_grad=False)
    placement = place_parameters(network)
    assert placement.pop("0.weight") == "shared"
    assert placement.keys() == {"counts"} | {
        f"1.{kind}_{to}_l0" for kind in ("weight", "bias") for to in ("ih", "hh")
    }
    assert set(placement.values()) == {"private"}


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
        ([3], "rule 3; expected a pair"),
        ([(3, "shared")], r"rule \(3, 'shared'\); expected a pair"),
        ([{"conv1.*": "shared", "bn1.*": "lego"}], "expected a pair"),
    ],
)
def test_bad_rule_is_an_error(rules: list, named: str) -> None:
    names = [name for name, _ in BACKBONES["resnet"]().named_parameters()]
    with pytest.raises(ValueError, match=rf"lego\.placement.*{named}"):
        check_rules(rules, names)
