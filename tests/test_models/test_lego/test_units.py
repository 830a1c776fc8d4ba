"""How many units each routing group gets."""

import pytest

from gppf_mm.models.lego import count_units, follow_layers, group_parameters
from tests.stock_backbones import BACKBONES

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


def resnet(by: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return groups and stages of a ResNet's convolutions, and of a neck's."""
    network = BACKBONES["resnet"]()
    found = []
    for grouping in (by, "stage"):
        groups = {
            f"backbone.{name}": f"backbone.{group}"
            for name, group in group_parameters(network, grouping).items()
            if network.get_parameter(name).dim() == 4
        }
        found.append({**groups, "neck.fpn.weight": "neck.fpn"})
    return found[0], found[1]


@pytest.mark.parametrize("by", ["layer", "block", "stage"])
def test_a_list_counts_for_the_stages_in_order(by: str) -> None:
    groups, stages = resnet(by)
    numbers = dict(zip(STAGES, [1, 2, 3, 4, 5], strict=True))
    counts = count_units(list(numbers.values()), groups, stages)
    assert list(counts) == list(dict.fromkeys(groups.values()))
    for group, count in counts.items():
        part, stage = group.split(".")[:2]
        assert count == (5 if part == "neck" else numbers[stage]), group


def test_a_list_is_the_backbones_wherever_it_comes() -> None:
    def neck_first(names: dict[str, str]) -> dict[str, str]:
        return dict(sorted(names.items(), key=lambda item: item[0] < "neck"))

    groups, stages = resnet("block")
    after = count_units([1, 2, 3, 4, 5], groups, stages)
    before = count_units([1, 2, 3, 4, 5], neck_first(groups), neck_first(stages))
    assert next(iter(before)) == "neck.fpn"
    assert before == after
    with pytest.raises(ValueError, match=r"5 stages of the backbone .*layer4\. Give"):
        count_units([4], neck_first(groups), neck_first(stages))
    # A network of one part, under any name.
    alone = {"net.0.weight": "net.0", "net.1.weight": "net.1"}
    assert count_units([1, 4], alone, alone) == {"net.0": 1, "net.1": 4}


def test_the_first_pattern_that_matches_counts() -> None:
    groups, stages = resnet("block")
    patterns = [("*.layer4.0", 6), ["backbone.layer4*", 8], ("*", 2)]
    counts = count_units(patterns, groups, stages)
    assert counts.pop("backbone.layer4.0") == 6
    assert counts.pop("backbone.layer4.1") == counts.pop("backbone.layer4.2") == 8
    assert set(counts.values()) == {2}


@pytest.mark.parametrize(
    ("num_units", "named"),
    [
        (0, "num_units` is 0"),
        (True, "num_units` is True"),
        ("4", "num_units` is '4'"),
        (2.0, "num_units` is 2.0"),
        ([1, 2, 0, 4, 5], r"num_units\[2\]` is 0"),
        ([4, 4], r"\[4, 4\], 2 number.* 5 stages .*backbone\.conv1, backbone\.layer1"),
        ([("*.layer4", 8), ("*.layer9", 2)], r"'\*\.layer9'.*no routing group"),
        ([("*.layer4", 8)], r"no pattern for .*'backbone\.conv1'.*Add \('\*', 4\)"),
        ([("*", 0)], r"num_units\['\*'\]` is 0"),
        ([("*.layer4", 8), 4], "the entry 4.*pairs"),
        ([(8, "*")], r"the entry \(8, '\*'\)"),
        ({"*": 4}, r"num_units` is \{'\*': 4\}"),
    ],
)
def test_numbers_that_cannot_be(num_units: object, named: str) -> None:
    with pytest.raises(ValueError, match=rf"lego\.{named}|lego.*{named}"):
        count_units(num_units, *resnet("stage"))


def test_norms_follow_the_layer_before_them() -> None:
    network = BACKBONES["resnet"]()
    groups = group_parameters(network, "layer")
    layers = [name for name in groups if network.get_parameter(name).dim() == 4]
    norms = [name for name in groups if name not in layers]
    followed = follow_layers(groups, layers, norms)
    assert followed["bn1.weight"] == "conv1"
    assert followed["layer2.0.bn3.bias"] == "layer2.0.conv3"
    assert followed["layer2.0.downsample.1.weight"] == "layer2.0.downsample.0"
    assert all(followed[name] == groups[name] for name in layers)


def test_a_norm_in_a_block_stays_in_it_and_a_first_one_takes_what_follows() -> None:
    groups = {"norm0": "norm0", "a.conv": "a", "a.norm": "a", "norm1": "norm1"}
    followed = follow_layers(groups, ["a.conv"], ["norm0", "a.norm", "norm1"])
    assert set(followed.values()) == {"a"}
