"""Classes of the data against those of the heads."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.registry import RUNNERS
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from gppf_mm.engine.runner.class_checks import check_classes
from tests.runs import make_tiny_toy, tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_toy(tmp_path_factory.mktemp("classes"))


class Head(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes


def model_of(**heads: int | list[int]) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            name: nn.ModuleList(map(Head, found))
            if isinstance(found, list)
            else Head(found)
            for name, found in heads.items()
        }
    )


def compare(model: nn.Module, classes: object) -> None:
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    check_classes("train_dataloader", {"shop": loader}, {"shop": model})


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(
        "gppf_mm.engine.runner.class_checks.print_log",
        lambda text, logger, level: found.append(text),
    )
    return found


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("model.tasks.det.bbox_head.num_classes", "train_dataloader.det.dataset"),
        ("model.tasks.seg.decode_head.num_classes", "train_dataloader.seg.dataset"),
        ("model.tasks.cls.head.num_classes", "train_dataloader.cls.dataset"),
    ],
)
def test_a_label_without_an_output_ends_a_run_before_it_trains(
    folder: Path, tmp_path: Path, monkeypatch, key: str, where: str
):
    """In the stock libraries each would end, or be wrong, in a loss."""
    monkeypatch.chdir(folder)
    options = {key: 2, f"{key.rpartition('.')[0]}.out_channels": 2}
    cfg = tiny_config(tmp_path, options if "seg" in key else {key: 2})
    with pytest.raises(ValueError, match=rf"`{where}` has .*`{key}` is 2\."):
        RUNNERS.build(cfg).train()
    assert not list(tmp_path.glob("*.pth"))


def test_validation_data_are_compared_too(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(folder)
    names = tuple(f"class {index}" for index in range(9))
    names = ("circle", "square", "triangle", *names)
    cfg = tiny_config(tmp_path, {"val_dataloader.det.dataset.metainfo.classes": names})
    with pytest.raises(ValueError, match=r"`val_dataloader\.det\.dataset` has 12 "):
        RUNNERS.build(cfg).train()


def test_outputs_without_a_label_are_warned_of(warnings: list[str]):
    compare(model_of(bbox_head=80), ("bolt", "nut", "washer"))
    assert len(warnings) == 1
    for part in ("3 classes (bolt, nut, washer)", "shop.bbox_head.num_classes` is 80"):
        assert part in warnings[0]


@pytest.mark.parametrize(
    "model",
    [
        # PanopticFPN: the heads have things and stuff, and the fusion has all.
        model_of(bbox_head=4, semantic_head=2, panoptic_fusion_head=6),
        # STDC: an auxiliary head finds boundaries.
        model_of(decode_head=6, auxiliary_head=[6, 2]),
        # HTC: another head segments what has no box.
        model_of(rpn_head=1, bbox_head=[6, 6, 6], semantic_head=183),
        # A network that compares, and a backbone with a classifier of its own.
        model_of(head_of_features=0, backbone=1000),
        model_of(rpn_head=1),
    ],
)
def test_stock_models_of_several_heads_are_taken(model: nn.Module, warnings: list[str]):
    compare(model, tuple("abcdef"))
    assert not warnings


@pytest.mark.parametrize("reader", ["language_model", "text_encoder"])
def test_a_model_that_reads_classes_is_taken(warnings: list[str], reader: str):
    """As those of GroundingDINO and SAN do."""
    model = model_of(bbox_head=2)
    setattr(model, reader, nn.Identity())
    compare(model, tuple("abcdef"))
    compare(model_of(bbox_head=2), None)
    assert not warnings


def test_one_class_without_a_comma_is_refused():
    with pytest.raises(ValueError, match=r"the text 'cell'; .*classes=\('cell',\)"):
        compare(model_of(bbox_head=1), "cell")


def test_mixed_labels_have_the_length_of_the_heads(warnings: list[str]):
    model = model_of(head=6)
    model.data_preprocessor = ClsDataPreprocessor(
        num_classes=1000, batch_augments=dict(augments=dict(type="Mixup", alpha=0.8))
    )
    with pytest.raises(ValueError, match=r"preprocessor\.num_classes` is 1000"):
        compare(model, tuple("abcdef"))
    # Without something that mixes nobody asks for it, as in most recipes.
    model.data_preprocessor = ClsDataPreprocessor(num_classes=1000)
    compare(model, tuple("abcdef"))
    assert not warnings
