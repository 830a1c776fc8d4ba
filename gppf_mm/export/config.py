"""A task's config as its stock library writes it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import check_names
from gppf_mm.visualization import stock_visualizer

from .scope import find_ours, find_scope, in_scope, others_imports

# What draws predictions when the library's own test tool gets --show-dir.
_VISUALIZATION_HOOKS = dict(
    mmdet="DetVisualizationHook",
    mmseg="SegVisualizationHook",
    mmpretrain="VisualizationHook",
)


def export_config(cfg: Config, task: str) -> Config:
    """Write one task of a multi-task config as a config of its stock library.

    Args:
        cfg: A multi-task config.
        task: The task.

    Returns:
        A stock config: the task's model, its validation and test, its visualizer and,
        where all of it is stock, its training (schedule and optimizer are those of all
        tasks). It names nothing of this package.

    Raises:
        ValueError: If there is no such task, or the task cannot do without this
            package.
    """
    check_names("task", [task], cfg.model.tasks)
    scope = find_scope(cfg, task)
    stock = dict(
        default_scope=scope,
        model=in_scope(cfg.model.tasks[task], scope),
        **_evaluation(cfg, task, scope),
        **_runtime(cfg, task, scope),
    )
    for key, value in stock.items():
        found = find_ours(value, key)
        if found:
            raise ValueError(
                f"Task {task!r} cannot be exported to {scope}: {found}, which only "
                f"gppf_mm has. Use a part of {scope} there, or export with a config "
                "that does."
            )
    training = _training(cfg, task, scope)
    if training and not find_ours(training, ""):
        stock.update(training)
    return Config(stock)


def _evaluation(cfg: Config, task: str, scope: str) -> dict[str, Any]:
    """Return the stages that the task has, as the stock runner needs them: whole."""
    parts: dict[str, Any] = {}
    for stage, loop in (("val", "ValLoop"), ("test", "TestLoop")):
        loader = (cfg.get(f"{stage}_dataloader") or {}).get(task)
        evaluator = (cfg.get(f"{stage}_evaluator") or {}).get(task)
        if loader is None or evaluator is None:
            continue
        parts[f"{stage}_cfg"] = dict(type=loop)
        if (cfg.get(f"{stage}_cfg") or {}).get("fp16"):
            parts[f"{stage}_cfg"]["fp16"] = True
        parts[f"{stage}_dataloader"] = in_scope(loader, scope)
        parts[f"{stage}_evaluator"] = in_scope(evaluator, scope)
    pipeline = parts.get("test_dataloader", {}).get("dataset", {}).get("pipeline")
    if pipeline:
        # By this name `mmseg.apis.inference_model` looks for it.
        parts["test_pipeline"] = deepcopy(pipeline)
    return parts


def _training(cfg: Config, task: str, scope: str) -> dict[str, Any]:
    loader = (cfg.get("train_dataloader") or {}).get(task)
    max_iters = (cfg.get("train_cfg") or {}).get("max_iters")
    if loader is None or max_iters is None or not cfg.get("optim_wrapper"):
        return {}
    loop = dict(type="IterBasedTrainLoop", max_iters=max_iters)
    if cfg.train_cfg.get("val_interval"):
        loop["val_interval"] = cfg.train_cfg.val_interval
    return dict(
        train_cfg=loop,
        train_dataloader=in_scope(loader, scope),
        optim_wrapper=in_scope(_with_own_rules(cfg.optim_wrapper, task), scope),
        param_scheduler=in_scope(cfg.get("param_scheduler"), scope),
    )


def _with_own_rules(wrapper: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return an optimizer wrapper with the rules of one task's recipe alone."""
    wrapper = dict(wrapper)
    if class_name(wrapper.get("constructor")) != "MultiTaskOptimWrapperConstructor":
        return wrapper
    rules = (wrapper.pop("paramwise_cfg", None) or {}).get("tasks") or {}
    del wrapper["constructor"]
    own = rules.get(task) or {}
    return wrapper | {
        key: own[key] for key in ("constructor", "paramwise_cfg") if own.get(key)
    }


def _runtime(cfg: Config, task: str, scope: str) -> dict[str, Any]:
    hooks = cfg.get("default_hooks") or {}
    visualizer = in_scope(
        (cfg.get("visualizers") or {}).get(task) or stock_visualizer(scope), scope
    )
    visualizer.setdefault("name", "visualizer")
    visualizer.setdefault("vis_backends", [dict(type="LocalVisBackend")])
    default_hooks = dict(
        timer=dict(type="IterTimerHook"),
        logger=dict(
            type="LoggerHook",
            interval=_interval(hooks, "logger", 50),
            log_metric_by_epoch=False,
        ),
        param_scheduler=dict(type="ParamSchedulerHook"),
        checkpoint=dict(
            type="CheckpointHook",
            by_epoch=False,
            interval=_interval(hooks, "checkpoint", 1000),
        ),
        sampler_seed=dict(type="DistSamplerSeedHook"),
    )
    if scope in _VISUALIZATION_HOOKS:
        default_hooks["visualization"] = dict(type=_VISUALIZATION_HOOKS[scope])
    parts = dict(
        default_hooks=default_hooks,
        visualizer=visualizer,
        env_cfg=deepcopy(
            cfg.get("env_cfg")
            or dict(
                cudnn_benchmark=False,
                mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
                dist_cfg=dict(backend="nccl"),
            )
        ),
        log_level=cfg.get("log_level", "INFO"),
        log_processor=dict(by_epoch=False),
        load_from=None,
        resume=False,
    )
    if imports := others_imports(cfg.get("custom_imports")):
        parts["custom_imports"] = imports
    return parts


def _interval(hooks: dict, name: str, default: int) -> int:
    return (hooks.get(name) or {}).get("interval", default)
