"""Stock backbones of several families, narrow, for tests of what reads module trees."""

from collections.abc import Callable
from functools import partial

from torch import nn

from gppf_mm.registry import MODELS


def _build(**cfg: object) -> nn.Module:
    return MODELS.build(cfg)


def _hrnet_stage(branches: int, modules: int = 1) -> dict:
    return dict(
        num_modules=modules,
        num_branches=branches,
        block="BASIC",
        num_blocks=(2,) * branches,
        num_channels=tuple(8 * 2**branch for branch in range(branches)),
    )


BACKBONES: dict[str, Callable[[], nn.Module]] = dict(
    resnet=partial(
        _build, type="mmdet.ResNet", depth=50, base_channels=8, stem_channels=8
    ),
    swin=partial(
        _build,
        type="mmpretrain.SwinTransformer",
        arch=dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
        img_size=32,
        # Let windows be larger than the last feature maps.
        pad_small_map=True,
    ),
    vit=partial(
        _build,
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32),
        img_size=32,
        patch_size=8,
    ),
    hrnet=partial(
        _build,
        type="mmdet.HRNet",
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block="BOTTLENECK",
                num_blocks=(2,),
                num_channels=(8,),
            ),
            stage2=_hrnet_stage(2),
            stage3=_hrnet_stage(3, modules=2),
            stage4=_hrnet_stage(4),
        ),
    ),
    convnext=partial(
        _build,
        type="mmpretrain.ConvNeXt",
        arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 32, 64]),
        use_grn=True,
        layer_scale_init_value=0.0,
    ),
    res2net=partial(
        _build,
        type="mmdet.Res2Net",
        depth=50,
        scales=4,
        base_width=26,
        base_channels=8,
        stem_channels=8,
    ),
)
