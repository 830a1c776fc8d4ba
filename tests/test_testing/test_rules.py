"""Kinds, families, signatures and skips are told by rules over settings."""

import pytest
from mmengine.config import Config

from gppf_mm.recipes import load_recipe
from gppf_mm.testing import (
    backbone_family,
    model_signature,
    recipe_kind,
    skip_error,
    skip_reason,
)

FASTER_RCNN = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"


@pytest.mark.parametrize(
    ("recipe", "kind", "family"),
    [
        (FASTER_RCNN, "detection", "ResNet"),
        (
            "mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py",
            "instance segmentation",
            "Swin",
        ),
        (
            "mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py",
            "instance segmentation",
            "CSPNeXt",
        ),
        (
            "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
            "instance segmentation",
            "ResNet",
        ),
        (
            "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
            "panoptic segmentation",
            "ResNet",
        ),
        (
            "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
            "semantic segmentation",
            "MiT",
        ),
        ("mmseg::vpd/vpd_sd_4xb8-25k_nyu-480x480.py", "depth estimation", "VPD"),
        (
            "mmpretrain::vision_transformer/vit-base-p16_64xb64_in1k-384px.py",
            "classification",
            "ViT",
        ),
        (
            "mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py",
            "self-supervised",
            "ViT",
        ),
        ("mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py", "other", "ResNet"),
        (
            "mmdet::bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_"
            "test-mot17halfval.py",
            "other",
            "none",
        ),
    ],
)
def test_kind_and_family(recipe: str, kind: str, family: str):
    found = load_recipe(recipe)
    assert recipe_kind(found.scope, found.cfg.model) == kind
    assert backbone_family(found.cfg.model) == family


BACKBONE = dict(type="AnyBackbone")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (dict(data_preprocessor=dict(type="TrackDataPreprocessor")), "video"),
        (dict(type="mmdet.MyVideoDetector"), "video"),
        (dict(bbox_head=dict(language_model=dict(type="Bert"))), "text prompts"),
        (dict(data_preprocessor=dict(type="MultiModalDataPreprocessor")), "text"),
        (dict(teacher_config="teacher.py"), "distillation"),
        (dict(data_preprocessor=dict(type="MultiBranchDataPreprocessor")), "semi"),
        (dict(target_generator=dict(tokenizer_path="x.pth")), "external target"),
        (dict(type="ImageClassifier"), "no head"),
        (dict(type="Detectron2Wrapper"), "'detectron2'"),
        (dict(backbone=None), None),
        (dict(bbox_head=dict(language_model=None)), None),
        (dict(type="ImageClassifier", head=dict(type="LinearClsHead")), None),
    ],
)
def test_settings_decide_what_is_skipped(model: dict, reason: str | None):
    model = dict(dict(type="AnyNewModel", backbone=BACKBONE), **model)
    found = skip_reason("mmdet", Config(dict(model=model)))
    assert found is None if reason is None else reason in found


def test_a_model_with_a_momentum_encoder_is_skipped():
    found = load_recipe("mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py")
    assert "averages its own backbone" in skip_reason(found.scope, found.cfg)
    found = load_recipe("mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py")
    assert skip_reason(found.scope, found.cfg) is None


def test_a_model_without_a_part_to_share_is_skipped():
    cfg = Config(dict(model=dict(type="AnyNewModel", detector=BACKBONE)))
    assert skip_reason("mmdet", cfg) == "no backbone to share"


def test_only_errors_of_what_is_missing_skip():
    wrapped = RuntimeError("in the builder")
    wrapped.__cause__ = ModuleNotFoundError("no", name="transformers.models")
    assert skip_error(wrapped) == "needs the package 'transformers'"
    install = RuntimeError('Failed to import timm. Please run "pip install timm".')
    assert skip_error(install) == "needs the package 'timm'"
    operator = RuntimeError("carafe_forward_impl: implementation for device cpu not")
    assert skip_error(operator) == "an operator of mmcv does not run on the CPU"
    for failure in (RuntimeError("sizes differ"), KeyError("model"), AssertionError()):
        assert skip_error(failure) is None


def _signature(recipe: str, overrides: dict | None = None) -> str:
    found = load_recipe(recipe, overrides)
    return model_signature(found.scope, found.cfg.model)


def test_schedule_and_data_are_not_in_the_signature():
    signature = _signature(FASTER_RCNN)
    assert signature == _signature(FASTER_RCNN.replace("1x", "2x"))
    others = {
        "model.roi_head.bbox_head.num_classes": 3,
        "model.backbone.init_cfg": None,
        "model.data_preprocessor.mean": [0.0, 0.0, 0.0],
    }
    assert signature == _signature(FASTER_RCNN, others)


@pytest.mark.parametrize(
    "change",
    [
        {"model.backbone.depth": 101},
        {"model.backbone.frozen_stages": -1},
        {"model.neck.out_channels": 128},
        {"model.train_cfg.rcnn.sampler.type": "OHEMSampler"},
    ],
)
def test_what_a_model_computes_is_in_the_signature(change: dict):
    assert _signature(FASTER_RCNN) != _signature(FASTER_RCNN, change)
