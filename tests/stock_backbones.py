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

_RES = dict(depth=50, base_channels=8, stem_channels=8)

# More families, for what only a whole step shows: small variants of the stock types.
FAMILIES: dict[str, Callable[[], nn.Module]] = dict(
    resnet_v1d_dcn=partial(
        _build,
        type="mmdet.ResNet",
        deep_stem=True,
        avg_down=True,
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        **_RES,
    ),
    resnet_dcn=partial(
        _build,
        type="mmdet.ResNet",
        dcn=dict(type="DCN", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        **_RES,
    ),
    resnet_weight_standardised=partial(
        _build,
        type="mmdet.ResNet",
        conv_cfg=dict(type="ConvWS"),
        norm_cfg=dict(type="GN", num_groups=4),
        **_RES,
    ),
    detectors_resnet=partial(
        _build,
        type="mmdet.DetectoRS_ResNet",
        depth=50,
        base_channels=8,
        conv_cfg=dict(type="ConvAWS"),
        sac=dict(type="SAC", use_deform=True),
        stage_with_sac=(False, True, True, True),
    ),
    resnext=partial(_build, type="mmdet.ResNeXt", groups=4, base_width=4, **_RES),
    resnest=partial(
        _build, type="mmdet.ResNeSt", radix=2, reduction_factor=4, base_width=8, **_RES
    ),
    regnet=partial(
        _build,
        type="mmdet.RegNet",
        arch="regnetx_400mf",
    ),
    mobilenet_v2=partial(_build, type="mmpretrain.MobileNetV2", widen_factor=0.25),
    mobilenet_v3=partial(_build, type="mmpretrain.MobileNetV3", arch="small"),
    efficientnet=partial(_build, type="mmpretrain.EfficientNet", arch="b0"),
    repvgg=partial(
        _build,
        type="mmpretrain.RepVGG",
        arch=dict(
            num_blocks=[1, 2, 2, 1],
            width_factor=[0.25] * 4,
            group_layer_map=None,
            se_cfg=None,
        ),
    ),
    cspnext=partial(
        _build, type="mmdet.CSPNeXt", widen_factor=0.125, deepen_factor=0.33
    ),
    darknet=partial(_build, type="mmdet.CSPDarknet", widen_factor=0.125),
    shufflenet=partial(_build, type="mmpretrain.ShuffleNetV2", widen_factor=0.5),
    van=partial(
        _build,
        type="mmpretrain.VAN",
        arch=dict(embed_dims=[8, 16, 32, 64], depths=[1, 1, 1, 1], ffn_ratios=[2] * 4),
    ),
    swin_mmdet=partial(
        _build,
        type="mmdet.SwinTransformer",
        embed_dims=8,
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 4, 8),
        use_abs_pos_embed=True,
        pretrain_img_size=64,
        with_cp=True,
    ),
    swin_v2=partial(
        _build,
        type="mmpretrain.SwinTransformerV2",
        arch=dict(
            embed_dims=8, depths=[2, 2], num_heads=[1, 2], extra_norm_every_n_blocks=0
        ),
        img_size=64,
        window_size=[4, 4],
        out_indices=(1,),
    ),
    vit_layer_scale=partial(
        _build,
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32),
        img_size=64,
        patch_size=16,
        layer_scale_init_value=0.1,
        out_type="avg_featmap",
    ),
    vit_mmseg=partial(
        _build,
        type="mmseg.VisionTransformer",
        img_size=(64, 64),
        patch_size=16,
        embed_dims=16,
        num_layers=2,
        num_heads=2,
        mlp_ratio=2,
    ),
    beit=partial(
        _build,
        type="mmpretrain.BEiTViT",
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=64,
        patch_size=16,
        layer_scale_init_value=0.1,
    ),
    beit_mmseg=partial(
        _build,
        type="mmseg.BEiT",
        img_size=(64, 64),
        patch_size=16,
        embed_dims=16,
        num_layers=2,
        num_heads=2,
        mlp_ratio=2,
        init_values=0.1,
        qv_bias=True,
    ),
    deit=partial(
        _build,
        type="mmpretrain.DistilledVisionTransformer",
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=64,
        patch_size=16,
    ),
    mit=partial(
        _build,
        type="mmseg.MixVisionTransformer",
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 4],
    ),
    pvt=partial(
        _build,
        type="mmdet.PyramidVisionTransformer",
        pretrain_img_size=64,
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 4],
    ),
    pvt_v2=partial(
        _build,
        type="mmdet.PyramidVisionTransformerV2",
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 4],
    ),
    twins=partial(
        _build,
        type="mmpretrain.PCPVT",
        arch=dict(
            embed_dims=[8, 16, 24, 32],
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 3, 4],
            patch_sizes=[4, 2, 2, 2],
            strides=[4, 2, 2, 2],
            mlp_ratios=[2, 2, 2, 2],
            sr_ratios=[8, 4, 2, 1],
        ),
    ),
    xcit=partial(
        _build,
        type="mmpretrain.XCiT",
        img_size=64,
        patch_size=16,
        embed_dims=16,
        depth=2,
        cls_attn_layers=1,
        num_heads=2,
        mlp_ratio=2,
        use_pos_embed=True,
        layer_scale_init_value=0.1,
        tokens_norm=True,
    ),
    # Its custom architectures cannot be built: the smallest that has a name.
    levit=partial(_build, type="mmpretrain.LeViT", arch="128s", img_size=64),
    mvit=partial(
        _build,
        type="mmpretrain.MViT",
        arch=dict(embed_dims=8, num_layers=4, num_heads=1, downscale_indices=[1, 2, 3]),
        img_size=64,
        out_scales=(3,),
    ),
    tnt=partial(
        _build,
        type="mmpretrain.TNT",
        arch=dict(
            embed_dims_outer=16,
            embed_dims_inner=8,
            num_layers=2,
            num_heads_outer=2,
            num_heads_inner=2,
        ),
        img_size=64,
        patch_size=16,
    ),
    hornet=partial(
        _build,
        type="mmpretrain.HorNet",
        arch=dict(
            base_dim=16,
            depths=[1, 1, 1, 1],
            orders=[2, 3, 4, 5],
            dw_cfg=[dict(type="DW", kernel_size=7)] * 4,
        ),
    ),
    poolformer=partial(
        _build,
        type="mmpretrain.PoolFormer",
        arch=dict(
            layers=[1, 1, 1, 1],
            embed_dims=[8, 16, 24, 32],
            mlp_ratios=[2, 2, 2, 2],
            layer_scale_init_value=0.1,
        ),
    ),
    edgenext=partial(_build, type="mmpretrain.EdgeNeXt", arch="xxsmall"),
    clip_vit=partial(
        _build,
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=64,
        patch_size=16,
        pre_norm=True,
        frozen_stages=1,
    ),
)
