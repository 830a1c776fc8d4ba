"""What a recipe is for: the kind of its task and the family of its backbone."""

import re
from collections.abc import Mapping
from typing import Any

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.walk import find_values

KINDS = (
    "detection",
    "instance segmentation",
    "panoptic segmentation",
    "semantic segmentation",
    "depth estimation",
    "classification",
    "self-supervised",
    "other",
)

_SELF_SUPERVISED = re.compile(
    r"^(BEiT|BYOL|BarlowTwins|CAE|DenseCL|EVA|MAE|MFF|MILAN|MaskFeat|MixMIM|MoCo|"
    r"MoCoV3|SimCLR|SimMIM|SimSiam|SparK|SwAV|iTPN)$"
)
_CLASSIFIERS = ("ImageClassifier", "TimmClassifier", "HuggingFaceClassifier")
_NO_DETECTORS = re.compile(r"SORT|ByteTrack|QDTrack|ReID|Video|MaskTrack", re.I)

# The first that matches the backbone's type. Names of one family that differ in their
# stem or their input alone are told together.
_FAMILIES = (
    ("ViT", r"^(Distilled)?VisionTransformer|^(DeiT3|BEiT|BEiTViT|ViTEVA02|ViTSAM)$"),
    ("ViT", r"^(MAE|MFF|MILAN|MaskFeat|MoCoV3|CAEPretrain|BEiTPretrain)ViT$|^MAE$"),
    ("Swin", r"Swin"),
    ("ResNet", r"^(Sparse)?ResNet(V1[bcd])?(_CIFAR)?$"),
    ("ConvNeXt", r"ConvNeXt"),
    ("DetectoRS-ResNet", r"^DetectoRS_ResNet$"),
    ("DetectoRS-ResNeXt", r"^DetectoRS_ResNeXt$"),
    ("SE-ResNet", r"^SEResNe"),
    ("PVT", r"^PyramidVisionTransformer"),
    ("MiT", r"^MixVisionTransformer$"),
    ("HiViT", r"HiViT$"),
    ("MixMIM", r"^MixMIM"),
    ("RIFormer", r"^RIFormer$"),
)


def recipe_kind(scope: str, model: Mapping[str, Any]) -> str:
    """Tell what a stock model is for.

    Args:
        scope: The library.
        model: The stock model's config.

    Returns:
        One of `KINDS`. A detector that also segments counts as what is harder:
        panoptic before instance segmentation before detection.
    """
    name = class_name(model.get("type"))
    if scope == "mmseg":
        return "depth estimation" if "Depth" in name else "semantic segmentation"
    if name in _CLASSIFIERS:
        return "classification"
    if scope == "mmpretrain":
        return "self-supervised" if _SELF_SUPERVISED.search(name) else "other"
    if scope != "mmdet" or _NO_DETECTORS.search(name):
        return "other"
    stuff = any(find_values(model, "num_stuff_classes"))
    if stuff or name == "PanopticFPN":
        return "panoptic segmentation"
    masks = any(find_values(model, "mask_head")) or "panoptic_head" in model
    types = " ".join(class_name(kind) for kind in find_values(model, "type"))
    if masks or re.search(r"RTMDetIns|YOLACT(Head|Protonet)", types):
        return "instance segmentation"
    return "detection"


def backbone_family(model: Mapping[str, Any]) -> str:
    """Name the family of a stock model's backbone, or ``'none'`` where it has none."""
    backbone = model.get("backbone") or model.get("image_encoder") or {}
    if isinstance(backbone, (list, tuple)):
        backbone = backbone[0]
    if "backbone" in backbone:
        backbone = backbone["backbone"]
    module = backbone.get("module")  # LoRA wraps what it adapts.
    name = class_name((module or backbone).get("type") or "none")
    if re.search(r"TIMM|Timm", name):
        return f"timm {backbone.get('model_name', '')}".strip()
    found = (family for family, pattern in _FAMILIES if re.search(pattern, name))
    return next(found, name)
