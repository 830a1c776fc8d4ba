"""A common backbone fits every task's neck and heads."""

from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample

from gppf_mm.recipes import expand, expand_task
from gppf_mm.registry import MODELS

SWIN = dict(type="mmpretrain.SwinTransformer", arch="tiny", pad_small_map=True)
CONVNEXT = dict(type="mmpretrain.ConvNeXt", arch="atto", gap_before_final_norm=False)
RESNET = dict(type="mmpretrain.ResNet", depth=18)

RECIPES = [
    "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    "mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
    "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py",
    "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
    "mmdet::libra_rcnn/libra-retinanet_r50_fpn_1x_coco.py",
    "mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
    "mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py",
    "mmseg::sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py",
    "mmseg::hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024.py",
    "mmpretrain::resnet/resnet50_8xb32_in1k.py",
    "mmpretrain::convnext/convnext-tiny_32xb128_in1k.py",
]


@pytest.mark.parametrize("backbone", [SWIN, CONVNEXT, RESNET], ids=lambda b: b["type"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_stock_model_takes_the_new_features(recipe: str, backbone: dict[str, Any]):
    cfg = expand_task("task", dict(config=recipe), backbone).model
    cfg["backbone"]["init_cfg"] = None
    with DefaultScope.overwrite_default_scope("gppf_mm"):
        model = MODELS.build(ConfigDict(cfg))
    model.eval()
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(1, 3, 96, 96))
        if hasattr(model, "decode_head"):
            mask2former = "mask2former" in recipe
            sample = SegDataSample(metainfo=dict(img_shape=(96, 96)))
            model.decode_head(features, *[[sample]] * mask2former)
        if hasattr(model, "auxiliary_head") and model.with_auxiliary_head:
            heads = model.auxiliary_head
            for head in heads if hasattr(heads, "__iter__") else [heads]:
                head(features)
        if hasattr(model, "head"):
            model.head(features)


def test_a_family_keeps_its_geometry():
    recipe = "mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    cfg = expand_task("seg", dict(config=recipe), RESNET).model["backbone"]
    assert cfg["dilations"] == (1, 1, 2, 4)
    assert cfg["strides"] == (1, 2, 1, 1)
    other = expand_task("seg", dict(config=recipe), SWIN).model["backbone"]
    assert "dilations" not in other
    assert other["out_indices"] == (0, 1, 2, 3)


def test_stages_are_matched_by_stride():
    recipe = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"  # strides 8, 16 and 32
    cfg = expand_task("det", dict(config=recipe), RESNET).model
    assert cfg["backbone"]["out_indices"] == (1, 2, 3)
    assert cfg["neck"]["in_channels"] == [128, 256, 512]


def test_multi_grid_stays_in_the_family_and_is_named_where_it_cannot():
    recipe = "mmseg::deeplabv3/deeplabv3_r101-d16-mg124_4xb2-80k_cityscapes-512x1024.py"
    own = dict(type="mmseg.ResNetV1c", depth=18)
    found = expand_task("seg", dict(config=recipe), own)
    assert found.model["backbone"]["multi_grid"] == (1, 2, 4)
    assert found.model["backbone"]["contract_dilation"] is True
    assert not found.notes
    notes = expand_task("seg", dict(config=recipe), RESNET).notes
    assert [note.partition("=")[0] for note in notes] == ["backbone.multi_grid"]
    # Another family has other means.
    assert not expand_task("seg", dict(config=recipe), SWIN).notes


def test_a_backbone_of_fewer_stages_is_the_first_stages_of_the_common_one():
    entry = dict(config="mmdet::faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py")
    deep = {**RESNET, "depth": 50}
    cfg = expand_task("det", entry, deep).model["backbone"]
    assert (cfg["strides"], cfg["dilations"]) == ((1, 2, 2, 2), (1, 1, 1, 1))
    assert cfg["out_indices"] == (2,)
    cfg = expand_task("det", entry, {**deep, "num_stages": 3}).model["backbone"]
    assert cfg["strides"] == (1, 2, 2)
    for other in (RESNET, SWIN):
        with pytest.raises(ValueError, match=r"'det'.*shared_head.*recipe with an FPN"):
            expand_task("det", entry, other)
    entry["cfg_options"] = {"model.roi_head.shared_head.depth": 18}
    assert expand_task("det", entry, RESNET).model["rpn_head"]["in_channels"] == 256


def test_a_width_inside_a_head_is_not_the_backbone_s():
    entry = dict(
        config="mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py"
    )
    head = expand_task("seg", entry, RESNET).model["decode_head"]
    assert head["kernel_generate_head"]["in_channels"] == 512
    assert {item["in_channels"] for item in head["kernel_update_head"]} == {512}


@pytest.mark.parametrize(
    ("options", "enough"),
    [
        ({"model.head.topk": (1,)}, False),
        ({"data_preprocessor.num_classes": 3}, False),
        ({"model.head.in_channels": 512}, True),
        ({"model.head.type": "LinearClsHead"}, True),
        ({"model.head": dict(_delete_=True, type="LinearClsHead")}, True),
    ],
)
def test_only_an_override_that_could_name_the_channels_is_trusted_to(
    options: dict[str, Any], enough: bool
):
    name = "mmpretrain::vgg/vgg16_8xb32_in1k.py"
    entry = dict(config=name, cfg_options=options)
    if enough:
        expand_task("cls", entry, RESNET)
        return
    with pytest.raises(ValueError, match="nothing in its model names those"):
        expand_task("cls", entry, RESNET)


@pytest.mark.parametrize(
    "name",
    [
        "mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py",
        "beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py",
        "milan/milan_vit-base-p16_16xb256-amp-coslr-400e_in1k.py",
    ],
)
def test_masked_images_need_a_backbone_that_masks(name: str):
    with pytest.raises(ValueError, match=r"'ssl' learns from masked.*Leave the task"):
        expand_task("ssl", dict(config=f"mmpretrain::{name}"), RESNET)


def test_a_task_may_add_to_the_common_backbone():
    entry = dict(config=RECIPES[0], backbone=dict(frozen_stages=2))
    cfg = expand_task("det", entry, RESNET).model["backbone"]
    assert cfg["frozen_stages"] == 2


def test_a_user_s_channels_win():
    options = {"model.neck.in_channels": [1, 2, 3, 4]}
    entry = dict(config=RECIPES[0], cfg_options=options)
    assert expand_task("det", entry, RESNET).model["neck"]["in_channels"] == [
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize(
    ("backbone", "more", "message"),
    [
        ({}, {}, "freezes stages"),
        (dict(frozen_stages=-1), {}, "norm_eval=True"),
        (dict(frozen_stages=-1, type="mmdet.ResNet"), {}, "norm_eval=True"),
        (dict(frozen_stages=-1, norm_eval=False), {}, None),
        (dict(frozen_stages=-1, norm_cfg=dict(type="GN", num_groups=8)), {}, None),
        # Layer norms, by the class's own default, have no running statistics.
        (dict(SWIN, frozen_stages=-1), {}, None),
        (dict(init_cfg=dict(type="Pretrained", checkpoint="x.pth")), {}, None),
        ({}, dict(load_from="x.pth"), None),
        ({}, dict(lego=dict(init=dict(checkpoint="x.pth"))), None),
    ],
)
def test_what_stays_at_random_values_is_pointed_out(
    backbone: Any, more: Any, message: str | None, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    monkeypatch.setattr(
        "gppf_mm.recipes.cautions.print_log", lambda text, **_: said.append(text)
    )
    tasks = dict(det=dict(config=RECIPES[0]))
    common = backbone if "arch" in backbone else {**RESNET, **backbone}
    cfg = dict(tasks=tasks, lego={}, backbone=common)
    expand(Config(cfg | more))
    assert len(said) == (message is not None)
    assert not message or message in said[0]


@pytest.mark.parametrize(
    ("entry", "backbone", "message"),
    [
        ({}, dict(type="ResNet", depth=18), r"type with its library"),
        ({}, dict(type="mmpretrain.ResNet", depth=17), r"cannot be built and run"),
        ({}, dict(type="mmpretrain.ResNett"), r"in no registry"),
        (
            dict(config="mmpretrain::blip/blip-base_8xb16_refcoco.py"),
            RESNET,
            r"has none",
        ),
        ({}, dict(type="mmpretrain.ConvNeXt", arch="atto"), r"gap_before_final_norm"),
        (dict(backbone=dict(depth=18)), None, r"no top-level `backbone`"),
        (
            dict(backbone=dict(strides=(1, 2))),
            RESNET,
            r"AssertionError: assert len\(strides\).*task 'det'.*tasks\.det\.backbone",
        ),
    ],
)
def test_mistakes(entry: dict[str, Any], backbone: Any, message: str):
    with pytest.raises(ValueError, match=message):
        expand_task("det", {"config": RECIPES[0], **entry}, backbone)
