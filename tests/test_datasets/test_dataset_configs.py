"""The configs' models and data fit each other and the stock libraries."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

REPO = Path(__file__).parents[2]
CONFIGS = ("toy", "mini3")


@pytest.fixture(params=CONFIGS)
def cfg(request: pytest.FixtureRequest) -> Config:
    name = f"lego-r18-4u-soft_{request.param}-det-seg-cls.py"
    return Config.fromfile(REPO / "configs" / request.param / name)


def test_the_backbones_of_the_libraries_agree(cfg: Config) -> None:
    """Same names and shapes, parameters and buffers, whichever library builds it."""
    shapes = {}
    for task, model in cfg.model.tasks.items():
        backbone = MODELS.build(dict(model.backbone, _scope_=model["_scope_"]))
        state = backbone.state_dict()
        shapes[task] = {name: value.shape for name, value in state.items()}
        # Nothing is pretrained, so nothing may be frozen.
        assert all(parameter.requires_grad for parameter in backbone.parameters())
        backbone.train()
        assert all(module.training for module in backbone.modules())
    assert shapes["det"] == shapes["seg"] == shapes["cls"]


def test_every_head_has_as_many_classes_as_its_data(cfg: Config) -> None:
    tasks = cfg.model.tasks
    heads = dict(det=tasks.det.bbox_head, seg=tasks.seg.decode_head, cls=tasks.cls.head)
    for task, head in heads.items():
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            assert head.num_classes == len(loader[task].dataset.metainfo.classes)
    assert tasks.cls.data_preprocessor.num_classes == tasks.cls.head.num_classes


def test_every_task_has_every_part(cfg: Config) -> None:
    tasks = set(cfg.model.tasks)
    for key in ("train_dataloader", "val_dataloader", "val_evaluator", "visualizers"):
        assert set(cfg[key]) == tasks
    assert set(cfg.val_cfg["mean"]) == set(cfg.test_cfg["mean"]) == tasks
    assert set(cfg.model.loss_weights) == tasks


def test_the_schedule_ends_with_the_training(cfg: Config) -> None:
    warmup, cosine = cfg.param_scheduler
    assert warmup.end == cosine.begin
    assert cosine.begin + cosine.T_max == cosine.end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
