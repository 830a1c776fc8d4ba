"""One optimizer over the recipes' own rules, against the stock constructors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from gppf_mm.engine.optim import MultiTaskOptimWrapperConstructor
from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS
from tests.stand_ins import batches, build_gppf, task_configs

OURS = "gppf_mm.MultiTaskOptimWrapperConstructor"
ADAMW = dict(type="AdamW", lr=3e-4, weight_decay=0.05)
HARD = dict(type="FixedRouter")
TOP1 = dict(type="TopKRouter", k=1)


def build(
    model: nn.Module, optimizer: dict = ADAMW, constructor: str = OURS, **rules: Any
) -> OptimWrapper:
    cfg = dict(
        type="OptimWrapper",
        optimizer=optimizer,
        constructor=constructor,
        paramwise_cfg=rules or None,
        clip_grad=dict(max_norm=1.0),
    )
    return build_optim_wrapper(model, ConfigDict(cfg))


def settings(wrapper: OptimWrapper) -> dict[int, tuple[float, float]]:
    """Return learning rate and weight decay by the parameter's id."""
    found: dict[int, tuple[float, float]] = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            assert id(parameter) not in found
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    return found


def settings_by_name(model: GPPF, wrapper: OptimWrapper, task: str) -> dict[str, Any]:
    """Return the settings of a task's parameters by their stock names."""
    found, bank = settings(wrapper), model.network.bank
    by_name = {
        name: found.get(id(parameter))
        for name, parameter in model.tasks[task].named_parameters()
    }
    for name in model.network.shared_names(task):
        members = (
            bank.units(name) if name in bank.lego_names else [bank.parameter(name)]
        )
        (by_name[name],) = {found[id(member)] for member in members}
    return by_name


def classifier(backbone: dict, channels: int) -> dict:
    return dict(
        _scope_="mmpretrain",
        type="ImageClassifier",
        backbone=backbone,
        neck=dict(type="GlobalAveragePooling") if "Swin" in backbone["type"] else None,
        head=dict(type="LinearClsHead", num_classes=3, in_channels=channels),
    )


def swin() -> dict:
    arch = dict(embed_dims=8, depths=[2, 2], num_heads=[1, 2])
    return dict(type="SwinTransformer", arch=arch, img_size=32, out_indices=(1,))


def vit() -> dict:
    arch = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
    return dict(type="VisionTransformer", arch=arch, img_size=32, patch_size=8)


def convnext_arch() -> dict:
    return dict(depths=[1, 1, 4, 1], channels=[8, 16, 16, 16])


def convnext_segmentor() -> dict:
    cfg = task_configs()["seg"]
    cfg["backbone"] = dict(
        type="mmpretrain.ConvNeXt", arch=convnext_arch(), out_indices=[0, 1, 2, 3]
    )
    cfg["decode_head"].update(in_channels=16)
    return cfg


def convnext_detector() -> dict:
    cfg = task_configs()["det"]
    cfg["backbone"] = dict(
        type="mmpretrain.ConvNeXt", arch=convnext_arch(), out_indices=[0, 1, 2, 3]
    )
    cfg["neck"].update(in_channels=[8, 16, 16, 16])
    return cfg


def dcn_detector() -> dict:
    cfg = task_configs()["det"]
    cfg["backbone"].update(
        depth=50,
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, False, True, True),
    )
    cfg["neck"].update(in_channels=[64, 128, 256, 512])
    return cfg


LAYER_WISE = "mmpretrain.LearningRateDecayOptimWrapperConstructor"
NO_DECAY = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)
EMBEDDINGS = {
    ".cls_token": dict(decay_mult=0.0),
    ".pos_embed": dict(decay_mult=0.0),
    ".relative_position_bias_table": dict(decay_mult=0.0),
}
# A model, and the optimizer rules as stock recipes of it have them.
RECIPES: dict[str, tuple[dict, dict]] = dict(
    norms=(task_configs()["det"], dict(paramwise_cfg=dict(norm_decay_mult=0.0))),
    custom_keys=(
        task_configs()["seg"],
        dict(
            paramwise_cfg=dict(
                NO_DECAY,
                custom_keys={
                    "backbone": dict(lr_mult=0.1),
                    "head": dict(lr_mult=10.0, decay_mult=0.5),
                    "backbone.layer1": dict(lr_mult=0.01, decay_mult=2.0),
                },
            )
        ),
    ),
    bias_and_offsets=(
        dcn_detector(),
        dict(
            paramwise_cfg=dict(
                bias_lr_mult=2.0, bias_decay_mult=0.0, dcn_offset_lr_mult=0.1
            )
        ),
    ),
    vit=(
        classifier(vit(), 16),
        dict(
            constructor=LAYER_WISE,
            paramwise_cfg=dict(NO_DECAY, layer_decay_rate=0.65, custom_keys=EMBEDDINGS),
        ),
    ),
    swin=(
        classifier(swin(), 16),
        dict(
            # As a recipe of the library itself writes it.
            constructor="LearningRateDecayOptimWrapperConstructor",
            paramwise_cfg=dict(NO_DECAY, layer_decay_rate=0.8, custom_keys=EMBEDDINGS),
        ),
    ),
    convnext_mmdet=(
        convnext_detector(),
        dict(
            constructor="mmdet.LearningRateDecayOptimizerConstructor",
            paramwise_cfg=dict(decay_rate=0.7, decay_type="layer_wise", num_layers=6),
        ),
    ),
    convnext_mmseg=(
        convnext_segmentor(),
        dict(
            constructor="LearningRateDecayOptimizerConstructor",
            paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise", num_layers=6),
        ),
    ),
    force_default=(
        task_configs()["seg"],
        dict(
            constructor="ForceDefaultOptimWrapperConstructor",
            paramwise_cfg=dict(
                norm_decay_mult=0.0,
                force_default_settings=True,
                custom_keys={"backbone": dict(lr_mult=0.5)},
            ),
        ),
    ),
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_task_is_optimised_as_its_recipe_does(recipe: str) -> None:
    cfg, rules = RECIPES[recipe]
    model = build_gppf(HARD, 1, dict(only=cfg))
    found = settings_by_name(model, build(model, tasks=dict(only=rules)), "only")

    stock = MODELS.build(ConfigDict(deepcopy(cfg)))
    with DefaultScope.overwrite_default_scope(cfg["_scope_"]):
        wrapper = build(
            stock,
            constructor=rules.get("constructor", "DefaultOptimWrapperConstructor"),
            **rules["paramwise_cfg"],
        )
    by_id = settings(wrapper)
    expected = {name: by_id[id(p)] for name, p in stock.named_parameters()}
    assert found == expected
    # Else the comparison would be between constants.
    assert len(set(expected.values())) > (1 if recipe == "norms" else 2)


def test_groups_are_few_and_whole() -> None:
    cfg, rules = RECIPES["vit"]
    model = build_gppf(dict(TOP1, group="layer"), 4, dict(one=cfg, two=cfg))
    both = dict(one=rules, two=rules)
    groups = build(model, tasks=both).optimizer.param_groups
    keys = [(group["lr"], group["weight_decay"]) for group in groups]
    assert len(keys) == len(set(keys))
    # Five depths, with and without decay, and the router.
    assert len(keys) <= 11
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_without_rules_all_is_as_the_optimizer_says_but_the_router() -> None:
    model = build_gppf(TOP1)
    found = settings(build(model))
    routers = {id(p) for p in model.network.router.parameters()}
    assert routers
    for parameter in model.parameters():
        decay = 0.0 if id(parameter) in routers else 0.05
        assert found[id(parameter)] == (3e-4, decay)


def test_own_factors_multiply_the_recipes() -> None:
    model = build_gppf(TOP1)
    rule = dict(paramwise_cfg=dict(custom_keys={"head": dict(lr_mult=3.0)}))
    wrapper = build(
        model,
        optimizer=dict(type="SGD", lr=1.0, weight_decay=1.0),
        tasks=dict(seg=dict(rule, lr_mult=0.5, decay_mult=0.25), cls=dict(lr_mult=2)),
        bank=dict(lr_mult=0.1, decay_mult=4.0),
        router=dict(lr_mult=7.0, decay_mult=0.5),
    )
    found = settings(wrapper)

    def of(module: nn.Module) -> set[tuple[float, float]]:
        return {found[id(parameter)] for parameter in module.parameters()}

    assert of(model.tasks.seg.decode_head) == {(1.5, 0.25)}
    assert of(model.tasks.seg.backbone) == {(0.5, 0.25)}
    assert of(model.tasks.cls) == {(2.0, 1.0)}
    assert of(model.tasks.det) == {(1.0, 1.0)}
    assert of(model.network.bank) == {(0.1, 4.0)}
    assert of(model.network.router) == {(7.0, 0.5)}


@pytest.mark.parametrize("optimizer", [ADAMW, dict(type="AdamW")])
def test_the_router_alone_can_have_values_of_its_own(optimizer: dict) -> None:
    model = build_gppf(TOP1)
    found = settings(build(model, optimizer, router=dict(lr=0.02, weight_decay=0.3)))
    routers = {id(item) for item in model.network.router.parameters()}
    assert {found.pop(item) for item in routers} == {(0.02, 0.3)}
    # What remains is the optimizer's, or PyTorch's own defaults.
    expected = (3e-4, 0.05) if "lr" in optimizer else (1e-3, 0.01)
    assert set(found.values()) == {expected}


@contextmanager
def log() -> Iterator[list[logging.LogRecord]]:
    """Collect what MMEngine's current logger tells the user."""
    records: list[logging.LogRecord] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler, logger = Collect(logging.INFO), MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


def test_units_follow_the_tasks_as_far_as_these_agree() -> None:
    def rules(rate: float) -> dict:
        layers = {
            "layer3": dict(lr_mult=0.3, decay_mult=0.6),
            "layer4": dict(lr_mult=rate, decay_mult=0.2),
        }
        return dict(paramwise_cfg=dict(custom_keys=layers))

    model = build_gppf(TOP1)
    tasks = dict(det=rules(0.5), seg=rules(0.5), cls=rules(0.1))
    optimizer = dict(type="SGD", lr=1.0, weight_decay=1.0)
    with log() as records:
        wrapper = build(model, optimizer, tasks=tasks)
    found = settings_by_name(model, wrapper, "cls")
    for name in model.network.bank.lego_names:
        expected = (1.0, 1.0)
        if ".layer3." in name:
            expected = (0.3, 0.6)
        elif ".layer4." in name:
            expected = (1.0, 0.2)
        assert found[name] == expected, name
    # What is private is each recipe's own.
    assert found["backbone.layer4.0.bn1.weight"] == (0.1, 0.2)
    (warning,) = records
    text = warning.getMessage()
    assert warning.levelno == logging.WARNING
    assert "'backbone.layer4.0.conv1.weight'" in text
    assert " 5 parameter(s)" in text
    assert "0.5 and 0.2 in 'det'" in text
    assert "0.1 and 0.2 in 'cls'" in text

    tasks["cls"] = rules(0.5)
    with log() as records:
        wrapper = build(model, optimizer, tasks=tasks)
    assert not records
    unit = model.network.bank.units("backbone.layer4.0.conv1.weight")[0]
    assert settings(wrapper)[id(unit)] == (0.5, 0.2)


def test_a_task_that_freezes_a_stage_has_no_say_in_it() -> None:
    tasks = task_configs()
    tasks["det"]["backbone"]["frozen_stages"] = 1
    model = build_gppf(TOP1, tasks=tasks)
    rule = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}))
    with log() as records:
        wrapper = build(model, tasks=dict(seg=rule, cls=rule))
    found = settings_by_name(model, wrapper, "seg")
    assert found["backbone.layer1.0.conv1.weight"][0] == pytest.approx(3e-5)
    assert found["backbone.layer2.0.conv1.weight"][0] == 3e-4
    assert "'backbone.layer2.0.conv1.weight'" in records[0].getMessage()
    # Its own frozen parameters are left out.
    own = settings_by_name(model, wrapper, "det")
    assert own["backbone.bn1.weight"] is None
    assert own["backbone.layer2.0.bn1.weight"] == (3e-4, 0.05)
    assert own["backbone.conv1.weight"] == found["backbone.conv1.weight"]


def test_rules_of_a_shared_neck_are_those_of_its_tasks() -> None:
    tasks = task_configs()
    tasks["faces"] = task_configs()["det"]
    model = build_gppf(TOP1, tasks=tasks, share=("backbone", "neck"))
    rule = dict(paramwise_cfg=dict(custom_keys={"neck": dict(lr_mult=0.1)}))
    with log() as records:
        wrapper = build(model, tasks=dict(det=rule, faces=rule))
    assert not records
    found = settings_by_name(model, wrapper, "faces")
    assert found["neck.fpn_convs.0.conv.weight"][0] == pytest.approx(3e-5)
    assert found["backbone.conv1.weight"][0] == 3e-4


def test_wrapped_model_and_a_step() -> None:
    model = build_gppf(TOP1)
    rule = dict(paramwise_cfg=dict(norm_decay_mult=0.0))
    random_state = torch.get_rng_state()
    wrapper = build(model, tasks=dict(det=rule))
    assert torch.equal(torch.get_rng_state(), random_state)
    before = model.tasks.det.backbone.bn1.weight.detach().clone()
    log_vars = model.train_step(batches(), wrapper)
    assert log_vars["loss"].isfinite()
    assert not torch.equal(model.tasks.det.backbone.bn1.weight, before)

    class Wrapper(nn.Module):
        """Stands in for a distributed wrapper, which needs a process group."""

        def __init__(self) -> None:
            super().__init__()
            self.module = model

    assert settings(build(Wrapper(), tasks=dict(det=rule))) == settings(wrapper)


def test_optimizer_without_weight_decay_or_rate() -> None:
    model = build_gppf(TOP1)
    found = settings(build(model, optimizer=dict(type="AdamW", lr=1e-3)))
    router = next(model.network.router.parameters())
    # PyTorch's own default holds elsewhere.
    assert found.pop(id(router))[1] == 0.0
    assert {decay for _, decay in found.values()} == {0.01, 0.0}
    with pytest.raises(ValueError, match=r"weight decay by 0\.5.*no `weight_decay`"):
        build(model, dict(type="AdamW", lr=1e-3), bank=dict(decay_mult=0.5))
    with pytest.raises(ValueError, match=r"learning rate by 2.*no `lr`"):
        build(model, dict(type="AdamW"), bank=dict(lr_mult=2))


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (dict(task={}), r"paramwise_cfg`.*'task'.*Did you mean 'tasks'"),
        (dict(norm_decay_mult=0.0), r"paramwise_cfg`.*'norm_decay_mult'.*'tasks'"),
        (dict(tasks=dict(dett={})), r"paramwise_cfg\.tasks`.*'dett'.*mean 'det'"),
        (
            dict(tasks=dict(det=dict(norm_decay_mult=0))),
            r"tasks\.det`.*'norm_decay_mult'.*'paramwise_cfg'",
        ),
        (dict(tasks=dict(det=dict(lr_mult=-1))), r"tasks\.det\.lr_mult` is -1"),
        (dict(bank=dict(decay_mult="no")), r"bank\.decay_mult` is 'no'"),
        (dict(router=dict(mult=2)), r"router`.*'mult'"),
        (dict(router=dict(lr=-1)), r"router\.lr` is -1"),
        (dict(router=dict(lr=0.1, lr_mult=2)), r"router` has `lr` and `lr_mult`"),
        (dict(bank=dict(lr=0.1)), r"bank`.*'lr'"),
        (
            dict(tasks=dict(seg=dict(constructor="NoSuch"))),
            r"tasks\.seg` cannot be applied.*NoSuch",
        ),
        (
            # Layer-wise decay of a ResNet, which mmdet's constructor does not know.
            dict(
                tasks=dict(
                    det=dict(
                        constructor="LearningRateDecayOptimizerConstructor",
                        paramwise_cfg=RECIPES["convnext_mmdet"][1]["paramwise_cfg"],
                    )
                )
            ),
            r"tasks\.det` cannot be applied to the model of task 'det': NotImpl",
        ),
    ],
)
def test_bad_rules_are_named(rules: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build(build_gppf(TOP1), **rules)


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (dict(router=0.01), r"paramwise_cfg\.router` is 0\.01; expected a dict"),
        (dict(tasks=["det"]), r"paramwise_cfg\.tasks` is \['det'\]; expected a dict"),
        (dict(tasks=dict(det=2)), r"paramwise_cfg\.tasks\.det` is 2; expected a dict"),
    ],
)
def test_rules_that_are_no_dict_are_named(rules: dict, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        MultiTaskOptimWrapperConstructor(dict(optimizer=ADAMW), rules)


def test_none_takes_rules_out() -> None:
    model = build_gppf(TOP1)
    plain = settings(build(model))
    rules = dict(tasks=dict(det=None), bank=None, router=None, weighting=None)
    assert settings(build(model, **rules)) == plain
    assert settings(build(model, tasks=None)) == plain


def test_logger_speaks_again_after_a_failure() -> None:
    with pytest.raises(ValueError, match="NoSuch"):
        build(build_gppf(TOP1), tasks=dict(seg=dict(constructor="NoSuch")))
    assert not MMLogger.get_current_instance().disabled


def test_other_models_are_refused() -> None:
    with pytest.raises(TypeError, match=r"constructor.*gppf_mm\.GPPF.*Linear"):
        build(nn.Linear(1, 1))
