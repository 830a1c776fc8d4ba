"""The tasks of the benchmark: stock recipes with random images."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from gppf_mm.models import GPPF
from gppf_mm.models.sync_bn import revert_sync_bn
from gppf_mm.recipes import expand
from gppf_mm.registry import MODELS
from gppf_mm.utils.from_scratch import without_weights
from gppf_mm.utils.seeding import derive_seed, seed_everything

from ..inputs import random_batch
from .options import Options

# Undilated, so that one backbone serves all three in libraries that know one geometry.
RECIPES = dict(
    det="mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    seg="mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py",
    cls="mmpretrain::resnet/resnet50_8xb32_in1k.py",
)
_KINDS = dict(mmdet="detection", mmseg="segmentation", mmpretrain="classification")
TOP2 = dict(type="gppf_mm.TopKRouter", k=2, group="block")
TOP1 = dict(type="gppf_mm.TopKRouter", k=1, group="block")
SHARED = dict(type="gppf_mm.FixedRouter")


_QUICK_SIZE, _QUICK_WIDTH = 64, 16


def set_up(
    names: Iterable[str], options: Options, size: int, depth: int = 18
) -> tuple[Config, dict[str, dict]]:
    """Expand the benchmark's recipes over one ResNet and make a batch for each.

    Args:
        names: The tasks: keys of `RECIPES`, with more letters where one occurs twice.
        options: Gives the seed, and whether all is to be small.
        size: Height and width of the images, in pixels.
        depth: Layers of the ResNet. Defaults to 18.

    Returns:
        The expanded multi-task config, whose router and number of units are still to be
        set, and labelled batches of two random images by task, as the stock loaders
        would yield them.
    """
    backbone = dict(
        type="mmpretrain.ResNet", depth=depth, frozen_stages=-1, norm_eval=False
    )
    if options.quick:
        size, narrow = _QUICK_SIZE, _QUICK_WIDTH
        backbone.update(depth=18, stem_channels=narrow, base_channels=narrow)
    tasks = {
        name: dict(
            config=RECIPES[name[:3]],
            cfg_options=_cfg_options(name[:3], size, options.quick),
        )
        for name in names
    }
    lego = dict(num_units=1, router=SHARED)
    run = dict(tasks=tasks, backbone=backbone, lego=lego, train_cfg=dict(max_iters=1))
    cfg = expand(Config(run))
    return cfg, _batches(cfg, size, options)


def _cfg_options(name: str, size: int, narrow: bool) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if name == "seg":
        # The stock preprocessor pads to the size of the recipe's crops.
        changes["model.data_preprocessor.size"] = (size, size)
    if narrow and name == "seg":
        changes["model.decode_head.in_channels"] = [_QUICK_WIDTH] * 4
    if narrow and name == "det":
        changes["model.bbox_head.stacked_convs"] = 1
        for key in ("in_channels", "feat_channels"):
            changes[f"model.bbox_head.{key}"] = _QUICK_WIDTH
    if narrow and name != "cls":
        changes["model.neck.out_channels"] = _QUICK_WIDTH
    return changes


def select(cfg: Config, tasks: Iterable[str]) -> Config:
    """Return the config with a part of its tasks."""
    tasks = tuple(tasks)
    part = cfg.copy()
    part.model = dict(
        cfg.model,
        tasks={task: cfg.model.tasks[task] for task in tasks},
        loss_weights=dict.fromkeys(tasks, 1.0),
    )
    return part


def build_gppf(
    cfg: Config, num_units: int, router: Mapping[str, Any], options: Options
) -> GPPF:
    """Build the multi-task model of a config, in training mode.

    Args:
        cfg: The config that `set_up` returned.
        num_units: Units per layer.
        router: The router's config.
        options: Gives the device and the seed.
    """
    model_cfg = without_weights(cfg.model)
    model_cfg["lego"] = dict(num_units=num_units, router=dict(router))
    seed_everything(options.seed)
    model = MODELS.build(model_cfg)
    model.init_weights()
    return model.to(options.device).train()


def build_stock(cfg: Config, task: str, options: Options) -> BaseModel:
    """Build one task's stock model, in training mode.

    Args:
        cfg: The config that `set_up` returned.
        task: The task.
        options: Gives the device and the seed.
    """
    seed_everything(options.seed)
    model = MODELS.build(Config(without_weights(cfg.model.tasks[task]))._cfg_dict)
    model.init_weights()
    # SyncBN needs several GPUs; a GPPF replaces it by itself.
    revert_sync_bn(model)
    return model.to(options.device).train()


def _batches(cfg: Config, size: int, options: Options) -> dict[str, dict]:
    batches = {}
    for task, model in cfg.model.tasks.items():
        scope = model["_scope_"]
        seed = derive_seed(options.seed, "benchmark", task) % 2**31
        batches[task] = random_batch(
            scope, _KINDS[scope], Config(dict(model=deepcopy(model))), size, seed
        )
    return batches


def optimizer_for(model: torch.nn.Module) -> OptimWrapper:
    """Make the optimizer of all sides: SGD with momentum and weight decay."""
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    return OptimWrapper(sgd)


def held_by(model: torch.nn.Module, optimizer: OptimWrapper) -> list[Tensor]:
    """List what stays in memory from step to step."""
    state = [
        value
        for values in optimizer.optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    ]
    return [*model.parameters(), *model.buffers(), *state]
