from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from gppf_mm.export import export_config
from gppf_mm.export.scope import find_ours, in_scope
from gppf_mm.registry import MODELS
from tests.runs import CONFIG

LIBRARIES = dict(det="mmdet", seg="mmseg", cls="mmpretrain")


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(CONFIG)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [item for key in value for item in [key, *strings(value[key])]]
    if isinstance(value, (list, tuple)):
        return [item for inner in value for item in strings(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("task", LIBRARIES)
def test_config_is_stock_and_reads_back(cfg: Config, task: str, tmp_path: Path):
    stock = export_config(cfg, task)
    assert stock.default_scope == LIBRARIES[task]
    found = strings(stock.to_dict())
    assert not [text for text in found if "gppf_mm" in text]
    assert "_scope_" not in found
    (tmp_path / "stock.py").write_text(stock.pretty_text)
    assert Config.fromfile(tmp_path / "stock.py").to_dict() == stock.to_dict()


def test_a_type_of_a_lazy_config_stays_a_path_to_import(cfg: Config):
    kind = "mmpretrain.models.classifiers.ImageClassifier"
    model = cfg.model.tasks.cls
    model.type = kind
    assert export_config(cfg, "cls").model.type == kind
    model.pop("_scope_", None)
    stock = export_config(cfg, "cls")
    assert stock.default_scope == "mmpretrain"
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        assert type(MODELS.build(stock.model)).__name__ == "ImageClassifier"


@pytest.mark.parametrize("task", LIBRARIES)
def test_parts_are_the_tasks(cfg: Config, task: str):
    stock, scope = export_config(cfg, task), LIBRARIES[task]
    assert stock.model == in_scope(cfg.model.tasks[task], scope)
    for stage in ("val", "test"):
        for part in ("dataloader", "evaluator"):
            key = f"{stage}_{part}"
            assert stock[key] == in_scope(cfg[key][task], scope), key
    assert stock.test_cfg == dict(type="TestLoop")
    assert stock.val_cfg == dict(type="ValLoop")
    assert stock.train_cfg.max_iters == cfg.train_cfg.max_iters
    assert "save_best" not in stock.default_hooks.checkpoint


def test_export_leaves_the_config_alone(cfg: Config):
    before = deepcopy(cfg.to_dict())
    stock = export_config(cfg, "det")
    stock.env_cfg.cudnn_benchmark = "changed"
    stock.optim_wrapper.optimizer.lr = "changed"
    assert cfg.to_dict() == before


def test_other_librarys_parts_keep_their_scope():
    model = dict(
        _scope_="mmdet",
        type="mmdet.RetinaNet",
        backbone=dict(_scope_="mmpretrain", type="ConvNeXt", act=dict(type="mmdet.A")),
        neck=dict(_scope_="mmdet", type="FPN"),
        head=[dict(type="mmseg.Head")],
    )
    assert in_scope(model, "mmdet") == dict(
        type="RetinaNet",
        backbone=dict(_scope_="mmpretrain", type="ConvNeXt", act=dict(type="mmdet.A")),
        neck=dict(type="FPN"),
        head=[dict(type="mmseg.Head")],
    )


def test_part_that_only_this_package_has(cfg: Config):
    cfg.test_dataloader.seg.dataset.pipeline.append(dict(type="gppf_mm.Jitter"))
    with pytest.raises(
        ValueError, match=r"test_dataloader\.dataset\.pipeline\.4\.type"
    ):
        export_config(cfg, "seg")
    export_config(cfg, "det")


def test_training_that_only_this_package_has_is_left_out(cfg: Config):
    cfg.optim_wrapper.type = "gppf_mm.SomeOptimWrapper"
    stock = export_config(cfg, "cls")
    assert "train_dataloader" not in stock
    assert "optim_wrapper" not in stock
    assert find_ours(stock.to_dict(), "") is None


def test_an_exported_task_is_trained_by_its_recipes_own_rules(cfg: Config):
    rules = dict(
        cls=dict(paramwise_cfg=dict(norm_decay_mult=0.0), lr_mult=2.0),
        det=dict(constructor="mmdet.LayerDecayOptimizerConstructor"),
    )
    cfg.optim_wrapper.update(
        constructor="gppf_mm.MultiTaskOptimWrapperConstructor",
        paramwise_cfg=dict(tasks=rules, router=dict(lr=0.1)),
    )
    stock = export_config(cfg, "cls").optim_wrapper
    assert stock.paramwise_cfg == dict(norm_decay_mult=0.0)
    assert "constructor" not in stock
    stock = export_config(cfg, "det").optim_wrapper
    assert stock.constructor == "mmdet.LayerDecayOptimizerConstructor"
    assert "paramwise_cfg" not in export_config(cfg, "seg").optim_wrapper


def test_imports_of_this_package_stay_behind(cfg: Config):
    cfg.custom_imports = dict(
        imports=["gppf_mm.models", "json"], allow_failed_imports=False
    )
    found = export_config(cfg, "cls").custom_imports
    assert found == dict(imports=["json"], allow_failed_imports=False)
    cfg.custom_imports.imports = "gppf_mm.models"
    assert "custom_imports" not in export_config(cfg, "cls")


def test_scope_comes_from_the_type_if_need_be(cfg: Config):
    del cfg.model.tasks.cls["_scope_"]
    with pytest.raises(ValueError, match=r"`model\.tasks\.cls` does not say"):
        export_config(cfg, "cls")
    cfg.model.tasks.cls.type = "mmpretrain.ImageClassifier"
    stock = export_config(cfg, "cls")
    assert (stock.default_scope, stock.model.type) == ("mmpretrain", "ImageClassifier")
