import pytest
from torch import nn

from gppf_mm.models.lego import group_parameters
from tests.stock_backbones import BACKBONES

BLOCKS = dict(
    resnet=("layer2.1.conv1.weight", "layer2.1"),
    swin=("stages.1.blocks.0.ffn.layers.0.0.weight", "stages.1.blocks.0"),
    vit=("layers.2.attn.qkv.weight", "layers.2"),
    hrnet=("stage3.1.branches.2.0.conv1.weight", "stage3.1.branches.2.0"),
    convnext=("stages.2.1.pointwise_conv1.weight", "stages.2.1"),
    res2net=("layer2.1.convs.0.weight", "layer2.1"),
)
STAGES = dict(
    resnet=["conv1", "layer1", "layer2", "layer3", "layer4"],
    swin=["patch_embed", "stages.0", "stages.1", "stages.2", "stages.3"],
    vit=["patch_embed", "layers.0", "layers.1", "layers.2"],
    hrnet=["layer1", "stage2", "stage3", "stage4"],
    convnext=["stages.0", "stages.1", "stages.2", "stages.3"],
    res2net=["stem", "layer1", "layer2", "layer3", "layer4"],
)


@pytest.mark.parametrize("family", BACKBONES)
def test_layers_refine_blocks_and_blocks_refine_stages(family: str) -> None:
    network = BACKBONES[family]()
    names = [name for name, _ in network.named_parameters()]
    layer, block, stage = (
        group_parameters(network, by) for by in ("layer", "block", "stage")
    )
    for groups in (layer, block, stage):
        assert list(groups) == names
        # A group is a module that holds its parameters, or a parameter of the root.
        assert all(f"{name}.".startswith(f"{groups[name]}.") for name in names)
    for fine, coarse in ((layer, block), (block, stage)):
        pairs = {(fine[name], coarse[name]) for name in names}
        assert len(pairs) == len(set(fine.values()))
        assert len(set(fine.values())) >= len(set(coarse.values()))


@pytest.mark.parametrize("family", BACKBONES)
def test_blocks_and_stages_are_those_of_the_literature(family: str) -> None:
    network = BACKBONES[family]()
    name, block = BLOCKS[family]
    blocks = group_parameters(network, "block")
    assert blocks[name] == block
    inside = [other for other in blocks if other.startswith(f"{block}.")]
    assert {blocks[other] for other in inside} == {block}
    stages = dict.fromkeys(group_parameters(network, "stage").values())
    assert [stage for stage in stages if stage in STAGES[family]] == STAGES[family]


def test_swin_has_a_group_for_each_block_and_each_downsampling() -> None:
    blocks = set(group_parameters(BACKBONES["swin"](), "block").values())
    assert blocks == {
        "patch_embed",
        "norm3",
        *(f"stages.{stage}.blocks.{index}" for stage in range(4) for index in range(2)),
        *(f"stages.{stage}.downsample" for stage in range(3)),
    }


def test_unknown_grouping_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"lego\.router\.group.*'blocks'.*'block'"):
        group_parameters(nn.Linear(1, 1), "blocks")
