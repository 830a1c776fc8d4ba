"""Every override of a task has its effect, or is refused."""

from copy import deepcopy
from typing import Any

import pytest
from mmengine.config import Config

from gppf_mm.recipes import expand_task, load_recipe
from gppf_mm.recipes.overrides import flatten

DET = "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py"
SEG = "mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"
CLS = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
RESNET = dict(type="mmpretrain.ResNet", depth=18)
backbones = pytest.mark.parametrize("backbone", [None, RESNET])


def expanded(recipe: str, options: dict[str, Any], backbone: Any = None) -> Any:
    return expand_task("task", dict(config=recipe, cfg_options=options), backbone)


@backbones
def test_a_dict_from_the_command_line_goes_beside_dotted_keys(backbone: Any):
    cfg = Config(dict(o={"model.bbox_head.num_classes": 3, "model.neck.num_outs": 4}))
    cfg.merge_from_dict({"o.model.bbox_head.stacked_convs": 1})
    cfg.merge_from_dict({"o.model.neck.num_outs": 6})
    model = expanded(DET, cfg.o.to_dict(), backbone).model
    assert model["bbox_head"]["num_classes"] == 3
    assert model["bbox_head"]["stacked_convs"] == 1
    assert model["neck"]["num_outs"] == 6  # The command line is the later one.


@pytest.mark.parametrize("turn", [1, -1])
def test_a_part_and_its_whole_go_together_in_any_order(turn: int):
    options = {
        "train_dataloader.dataset.pipeline.1.reduce_zero_label": True,
        "train_dataloader.dataset": dict(type="BaseSegDataset"),
    }
    data = expanded(SEG, dict(list(options.items())[::turn])).parts["train_dataloader"]
    assert data["dataset"]["type"] == "BaseSegDataset"
    assert data["dataset"]["pipeline"][1]["reduce_zero_label"] is True


def test_a_whole_may_be_replaced_and_its_parts_set():
    options = {
        "train_dataloader.dataset.pipeline.0.type": "LoadImage",
        "train_dataloader.dataset": dict(_delete_=True, type="X", pipeline=[{}]),
        "val_evaluator": dict(_delete_=True, type="Accuracy"),
    }
    before = deepcopy(options)
    parts = expanded(CLS, options).parts
    data = parts["train_dataloader"]["dataset"]
    assert data == dict(type="X", pipeline=[dict(type="LoadImage")])
    assert parts["val_evaluator"] == dict(_scope_="mmpretrain", type="Accuracy")
    assert options == before


def test_what_takes_a_place_stays_whole():
    options = dict(a=dict(b=dict(_delete_=True, c=1), d={}, e={0: 1}, f=[1]))
    wanted = {"a.b": dict(_delete_=True, c=1), "a.d": {}, "a.e": {0: 1}, "a.f": [1]}
    assert flatten(options) == wanted


def test_rules_keep_the_names_of_parameters_whole():
    rules = {".pos": dict(decay_mult=0.0), "backbone.layer0": dict(lr_mult=0.1)}
    options = {
        "optim_wrapper.paramwise_cfg": dict(custom_keys=rules, norm_decay_mult=0.0)
    }
    swin = "mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py"
    stock = load_recipe(swin).cfg.optim_wrapper.paramwise_cfg
    found = expanded(swin, options).rules["paramwise_cfg"]
    assert found["custom_keys"] == {**stock.custom_keys, **rules}
    assert found["norm_decay_mult"] == 0.0


def test_a_whole_may_stand_where_there_was_nothing():
    whole = dict(_delete_=True, type="BatchSampler", inner=[dict(_delete_=True, a=1)])
    parts = expanded(CLS, {"train_dataloader.batch_sampler": whole}).parts
    sampler = parts["train_dataloader"]["batch_sampler"]
    assert sampler == dict(type="BatchSampler", inner=[dict(a=1)])


@backbones
@pytest.mark.parametrize("where", ["", "model."])
@pytest.mark.parametrize("recipe", [DET, SEG, CLS])
def test_the_preprocessor_is_changed_wherever_it_stands(
    recipe: str, where: str, backbone: Any
):
    stock = load_recipe(recipe).cfg.model.data_preprocessor
    options = {f"{where}data_preprocessor.mean": [1.0, 2.0, 3.0]}
    found = expanded(recipe, options, backbone).model["data_preprocessor"]
    assert found == {**stock, "mean": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "options",
    [
        {"val_cfg.fp16": True},
        dict(val_cfg=dict(fp16=True)),
        dict(val_cfg=dict(_delete_=True, type="ValLoop", fp16=True)),
    ],
)
def test_a_loop_s_options_are_the_run_s(options: dict[str, Any]):
    message = r"'val_cfg\.fp16', which changes nothing.*val_cfg=dict\(fp16=True\)"
    with pytest.raises(ValueError, match=message):
        expanded(SEG, options)


def test_a_loop_of_its_own_can_be_replaced():
    name = "soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py"
    recipe = f"mmdet::soft_teacher/{name}"
    assert "val_evaluator" not in expanded(recipe, {}).parts
    for options in ({"val_cfg.type": "ValLoop"}, dict(val_cfg=None)):
        assert "val_evaluator" in expanded(recipe, options).parts
