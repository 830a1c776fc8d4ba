"""Recipes: stock configs of mmdet, mmseg and mmpretrain as tasks of one run.

A task is one line, the name of a config that ships with a library or a path::

    tasks = dict(
        coco=dict(config='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', batch_size=2),
        ade=dict(config='mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'))

`expand` makes of it the config that one would write by hand: model, data, samplers,
evaluators, visualizers and optimizer rules of every task, each in the scope of its own
library.

Examples:
    >>> from mmengine.config import Config
    >>> cfg = Config(dict(
    ...     tasks=dict(
    ...         coco=dict(config="mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"),
    ...         in1k=dict(config="mmpretrain::resnet/resnet50_8xb32_in1k.py")),
    ...     lego=dict(num_units=4, router=dict(type="gppf_mm.TopKRouter", k=2)),
    ...     train_cfg=dict(max_iters=100)))
    >>> full = expand(cfg)
    >>> full.model.tasks.coco.type, full.val_evaluator.in1k._scope_
    ('RetinaNet', 'mmpretrain')
"""

from .expansion import RECIPE_KEYS, expand
from .imports import import_modules
from .source import Recipe, find_recipe, list_recipes, load_recipe
from .task import TaskConfig, expand_task

__all__ = [
    "RECIPE_KEYS",
    "Recipe",
    "TaskConfig",
    "expand",
    "expand_task",
    "find_recipe",
    "import_modules",
    "list_recipes",
    "load_recipe",
]
