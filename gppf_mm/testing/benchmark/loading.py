"""The training loader against the tasks' own stock loaders."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from gppf_mm.datasets import SIMTDataLoader
from gppf_mm.datasets.toy import make_toy
from gppf_mm.engine.runner.building import restartable

from .figure import Figure, Goal
from .options import Options
from .timing import Call, interleave, ratio_figure

_BATCH_SIZES = dict(det=4, seg=4, cls=16)
_EDGES = dict(det=320, seg=256, cls=224)
# One for each stock loader, which cannot do with less.
_WORKERS = len(_BATCH_SIZES)


def loader_over_separate(options: Options) -> list[Figure]:
    """Compare samples per second: one pool of W workers, and T loaders with W in all.

    Nothing consumes the batches, so that the workers are all that limits. The start of
    the workers and the first step do not count.
    """
    steps = options.pick(40, 3)
    with tempfile.TemporaryDirectory() as folder:
        root = make_toy(Path(folder, "toy"), num_train=options.pick(64, 16), num_val=6)
        cfgs = {task: _loader(task, root) for task in _BATCH_SIZES}
        calls: Mapping[str, Call] = {
            "one pool": lambda: _consume(lambda: _pooled(cfgs, options), steps),
            "separate": lambda: _consume(lambda: _separate(cfgs, options), steps),
        }
        times = interleave(calls, options, clock=lambda call: float(str(call())))
    samples = sum(_BATCH_SIZES.values()) * steps
    figure = ratio_figure(
        "loader_over_separate",
        f"samples/s, one pool of {_WORKERS} workers / 3 stock loaders of 1 each",
        times,
        Goal(">=", 1.0),
        inverse=True,
    )
    rates = {
        name: f"{samples * len(part) / sum(part):.0f} samples/s"
        for name, part in times.items()
    }
    return [Figure(**{**vars(figure), "sides": rates})]


def _consume(start: Callable[[], Iterator[Any]], steps: int) -> float:
    iterator = start()
    next(iterator)
    begin = time.perf_counter()
    for _ in range(steps):
        next(iterator)
    return time.perf_counter() - begin


def _pooled(cfgs: Mapping[str, dict], options: Options) -> Iterator[Any]:
    loaders = {task: _build(restartable(cfg), options) for task, cfg in cfgs.items()}
    return SIMTDataLoader(loaders, _WORKERS).iterate(0, options.seed)


def _separate(cfgs: Mapping[str, dict], options: Options) -> Iterator[Any]:
    loaders = {task: _build(cfg, options) for task, cfg in cfgs.items()}
    iterators = {task: iter(loader) for task, loader in loaders.items()}
    while True:
        yield {task: next(iterator) for task, iterator in iterators.items()}


def _build(cfg: dict, options: Options) -> DataLoader:
    with redirect_stdout(StringIO()):  # pycocotools says how long it read.
        return Runner.build_dataloader(deepcopy(cfg), seed=options.seed)


def _loader(task: str, root: Path) -> dict[str, Any]:
    """Return the stock config of a task's loader over its part of the toy set."""
    scale = (_EDGES[task], _EDGES[task])
    load = [dict(type="LoadImageFromFile")]
    resize = [dict(type="Resize", scale=scale), dict(type="RandomFlip", prob=0.5)]
    datasets: dict[str, dict[str, Any]] = dict(
        det=dict(
            _scope_="mmdet",
            type="CocoDataset",
            ann_file="annotations/train.json",
            data_prefix=dict(img="train/"),
            metainfo=dict(classes=("circle", "cross", "square", "star", "triangle")),
            pipeline=[
                *load,
                dict(type="LoadAnnotations", with_bbox=True),
                *resize,
                dict(type="PackDetInputs"),
            ],
        ),
        seg=dict(
            _scope_="mmseg",
            type="BaseSegDataset",
            img_suffix=".png",
            data_prefix=dict(img_path="img/train", seg_map_path="ann/train"),
            metainfo=dict(classes=("plain", "checks", "dots", "speckle", "stripes")),
            pipeline=[
                *load,
                dict(type="LoadAnnotations"),
                *resize,
                dict(type="PhotoMetricDistortion"),
                dict(type="PackSegInputs"),
            ],
        ),
        cls=dict(
            _scope_="mmpretrain",
            type="CustomDataset",
            data_prefix="train",
            pipeline=[*load, *resize, dict(type="PackInputs")],
        ),
    )
    return dict(
        batch_size=_BATCH_SIZES[task],
        num_workers=1,
        sampler=dict(type="InfiniteSampler", shuffle=True),
        dataset=dict(datasets[task], data_root=f"{root / task}/"),
    )
