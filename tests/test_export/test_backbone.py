"""A run with a lego backbone, as its stock library has it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from gppf_mm.export import export_backbone
from gppf_mm.registry import MODELS
from gppf_mm.utils.loading import load_whole

RESNET = dict(type="ResNet", depth=18, base_channels=8, stem_channels=8)
SWIN_V2 = dict(
    type="SwinTransformerV2",
    arch=dict(
        embed_dims=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
        extra_norm_every_n_blocks=0,
    ),
    img_size=64,
    window_size=[2, 2, 2, 2],
)
SOFT = dict(type="gppf_mm.SoftRouter", init_std=1.0, group="block")


def lego(**others: Any) -> dict:
    router = dict(type="gppf_mm.TopKRouter", k=2, init_std=1.0, group="block")
    base = dict(type="gppf_mm.LegoBackbone", num_units=4, router=router)
    return {**base, "skeleton": dict(RESNET), **others}


def classifier(backbone: dict, **others: Any) -> Config:
    head = dict(type="LinearClsHead", num_classes=5, in_channels=64)
    neck = dict(type="GlobalAveragePooling")
    model = dict(type="ImageClassifier", backbone=backbone, neck=neck, head=head)
    return Config(
        dict(
            default_scope="mmpretrain",
            custom_imports=dict(imports=["gppf_mm.models"], allow_failed_imports=False),
            model=model,
            **others,
        )
    )


def build(cfg: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def trained(cfg: Config, path: Path) -> nn.Module:
    """Build a config's model with weights and statistics like none's first ones."""
    model = build(cfg)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            # Swin V2 computes its tables of positions anew.
            if value.is_floating_point() and "relative_" not in name:
                value.add_(torch.rand(value.shape, generator=generator) * 0.1)
    torch.save(dict(meta=dict(iter=7), state_dict=model.state_dict()), path)
    return model.eval()


def predict(model: nn.Module) -> torch.Tensor:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(images, mode="tensor")


def is_ours(cfg: Config) -> bool:
    return "gppf_mm" in cfg.pretty_text


@pytest.mark.parametrize(
    "others",
    [
        {},
        dict(router=SOFT, norm="unit"),
        dict(router=SOFT, norm="shared"),
        dict(placement=[("*.layer1.*", "shared")]),
    ],
    ids=["top-2", "norms by unit", "shared norms", "a shared stage"],
)
def test_the_stock_model_predicts_what_the_lego_backbone_did(
    others: dict, tmp_path: Path
):
    cfg = classifier(lego(**others))
    model = trained(cfg, tmp_path / "iter_7.pth")
    done = export_backbone(cfg, tmp_path / "iter_7.pth", tmp_path / "plain.pth")
    stock_cfg = Config.fromfile(done.config)
    assert not is_ours(stock_cfg)
    assert stock_cfg.model.backbone == RESNET
    stock = build(stock_cfg)
    content = torch.load(done.checkpoint, weights_only=True)
    stock.load_state_dict(content["state_dict"], strict=True)
    assert content["meta"]["iter"] == 7
    wanted = predict(model)
    assert (predict(stock) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    "others",
    [
        # The file is gone; the checkpoint knows where its schedules began.
        dict(transfer=dict(checkpoint="gone.pth", route="coco", freeze="units")),
        dict(skeleton=SWIN_V2),
    ],
    ids=["after a transfer", "Swin V2"],
)
def test_what_a_checkpoint_has_besides_or_lacks_is_no_difference(
    others: dict, tmp_path: Path
):
    cfg = classifier(lego(**others))
    model = trained(cfg, tmp_path / "iter_7.pth")
    done = export_backbone(cfg, tmp_path / "iter_7.pth", tmp_path / "plain.pth")
    stock = build(Config.fromfile(done.config))
    content = torch.load(done.checkpoint, weights_only=True)
    load_whole(stock, content["state_dict"])
    wanted = predict(model)
    assert (predict(stock) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_first_values_need_not_be_there_any_more(tmp_path: Path):
    plain = classifier(lego())
    trained(plain, tmp_path / "iter_7.pth")
    gone = dict(checkpoint="gone.pth", route="coco", freeze="units")
    cfg = classifier(lego(transfer=gone))
    done = export_backbone(cfg, tmp_path / "iter_7.pth", tmp_path / "plain.pth")
    assert done.parameters > 0


def test_what_is_stock_stays_and_what_is_not_goes(tmp_path: Path):
    training = dict(
        train_cfg=dict(by_epoch=True, max_epochs=3),
        train_dataloader=dict(batch_size=2),
        param_scheduler=[dict(type="MultiStepLR", milestones=[2])],
        custom_hooks=[dict(type="EMAHook"), dict(type="gppf_mm.RoutingHook")],
        my_variable=dict(type="gppf_mm.LegoBackbone"),
        auto_scale_lr=dict(base_batch_size=256),
    )
    stock = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    ours = dict(stock, constructor="gppf_mm.LegoOptimWrapperConstructor")
    for wrapper in (stock, ours):
        cfg = classifier(lego(), optim_wrapper=wrapper, **training)
        trained(cfg, tmp_path / "iter_7.pth")
        done = export_backbone(cfg, tmp_path / "iter_7.pth", tmp_path / "plain.pth")
        found = Config.fromfile(done.config)
        assert not is_ours(found)
        assert done.can_train == (wrapper is stock)
        assert ("optim_wrapper" in found) == ("param_scheduler" in found)
        assert found.custom_hooks == [dict(type="EMAHook")]
        assert found.auto_scale_lr == dict(base_batch_size=256)
        assert "my_variable" not in found


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (classifier(dict(RESNET)), "has no gppf_mm.LegoBackbone"),
        (
            Config(dict(classifier(lego()).to_dict(), default_scope="gppf_mm")),
            "`default_scope` is 'gppf_mm'",
        ),
        (
            classifier(lego(), test_evaluator=dict(type="gppf_mm.MultiTaskEvaluator")),
            r"`config\.test_evaluator\.type` is 'gppf_mm\.MultiTaskEvaluator'",
        ),
        (classifier(lego(num_units=2)), "is of another config: .* unexpected"),
    ],
)
def test_what_cannot_be_exported_is_named(cfg: Config, message: str, tmp_path: Path):
    trained(classifier(lego()), tmp_path / "iter_7.pth")
    with pytest.raises(ValueError, match=message):
        export_backbone(cfg, tmp_path / "iter_7.pth", tmp_path / "plain.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["iter_7.pth"]
