"""Ranking the routes of a trained run for a new data set."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from gppf_mm.apis import name_missing_set
from gppf_mm.engine.runner.pool_options import WORKER_KEYS
from gppf_mm.models.backbones import LegoBackbone
from gppf_mm.models.backbones.lego_backbone import TASK
from gppf_mm.models.transfer import NewTask, TrainedRun, Transfer
from gppf_mm.registry import MODELS

from .probe import probe_score
from .samples import rows_of
from .target import read_target

_WHERE = "checkpoint"  # Named in errors.
# What stock pipelines note of where an image is from.
_NAMES = ("img_path", "img_id", "sample_idx")


@dataclass(frozen=True)
class RouteScore:
    """How one task's route suits the new set.

    Attributes:
        task: The task of the trained run.
        score: Balanced accuracy of the probe, from 0 to 1.
    """

    task: str
    score: float


@dataclass(frozen=True)
class Ranking:
    """Routes, the best first.

    Attributes:
        routes: The scores.
        images: The images of the new set that were looked at.
        rows: The rows that the probe was fitted to and tested on.
        classes: Their classes; of a detector the background is one.
    """

    routes: tuple[RouteScore, ...]
    images: int
    rows: int
    classes: int


def rank_routes(
    cfg: Config,
    checkpoint: str | Path,
    images: int = 200,
    task: str | None = None,
    seed: int = 0,
    done: Callable[[RouteScore], None] | None = None,
) -> Ranking:
    """Rank the routes of a trained run by a probe on frozen features.

    Args:
        cfg: Config of the new task: a stock config whose backbone is a `LegoBackbone`,
            or a multi-task config with ``model.lego.transfer``.
        checkpoint: A checkpoint of the trained run.
        images: Images of the new training set, with its training pipeline, to look
            at. Defaults to 200.
        task: The new task of a multi-task config. Defaults to None, its only one.
        seed: Seed of the images, their augmentation and the cells. Defaults to 0.
        done: Is called with each score. Defaults to None.

    Returns:
        The ranking.

    Raises:
        FileNotFoundError: If there is no such checkpoint, or the new set is missing.
        ValueError: If config or checkpoint do not fit each other or the purpose.
    """
    if images < 1:
        raise ValueError(f"--images is {images}; expected a number of images above 0.")
    target = read_target(cfg, str(checkpoint), task)
    run = TrainedRun(str(checkpoint), _WHERE)
    device = get_device()
    with DefaultScope.overwrite_default_scope(target.scope), _seeded(seed):
        model = MODELS.build(target.model).to(device)
        if hasattr(model.data_preprocessor, "batch_augments"):
            # Mixed images have no labels that a probe could use.
            model.data_preprocessor.batch_augments = None
        with name_missing_set(f"{target.where}.dataset", target.loader["dataset"]):
            batches = _batches(target.loader, images, seed)
        scores = []
        for name in run.tasks:
            _take(model.backbone, str(checkpoint), name)
            features, labels, places = _collect(model, batches, images, seed)
            scores.append(RouteScore(name, probe_score(features, labels, places)))
            if done is not None:
                done(scores[-1])
    return Ranking(
        routes=tuple(sorted(scores, key=lambda item: -item.score)),
        images=max(places) + 1,
        rows=len(labels),
        classes=len({label for row in labels for label in row}),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what initialises and augments, and leave the caller's state as it was."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _batches(cfg: Mapping[str, Any], images: int, seed: int) -> list[Any]:
    """Load images once, for all routes."""
    # PyTorch refuses options of workers where there are none.
    alone = {key: deepcopy(cfg[key]) for key in cfg if key not in WORKER_KEYS}
    alone["num_workers"] = 0
    # A small set may not fill one batch.
    alone["drop_last"] = False
    loader = Runner.build_dataloader(alone, seed=seed)
    number = -(-images // cfg["batch_size"])
    return list(islice(loader, number))


def _take(backbone: LegoBackbone, checkpoint: str, task: str) -> None:
    """Give a backbone a task's route and norms."""
    new = {TASK: NewTask(route=task, norms=task)}
    backbone.transfer = Transfer(_WHERE, checkpoint, new)
    backbone.init_weights()


@torch.no_grad()
def _collect(
    model: BaseModel, batches: list[Any], images: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, ...]], list[int]]:
    """Return features and labels of rows, and the image of each."""
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    features, labels, places = [], [], []
    known: dict[Any, int] = {}
    image = 0
    for batch in batches:
        data = model.data_preprocessor(deepcopy(batch), True)
        outputs = model.backbone(data["inputs"])
        maps = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
        size = tuple(data["inputs"].shape[-2:])
        for item, sample in zip(maps, data["data_samples"], strict=True):
            if image == images:
                break
            rows = rows_of(item, sample, size, generator)
            features.append(rows.features.float().cpu())
            labels += rows.labels
            place = known.setdefault(_identity(sample, image), len(known))
            places += [place] * len(rows.labels)
            image += 1
    return torch.cat(features).numpy(), labels, places


def _identity(sample: BaseDataElement, place: int) -> Any:
    """Tell an image that comes again, as from an endless sampler or a repeated set.

    A probe that is tested on it would know its label.
    """
    names = (sample.get(key) for key in _NAMES)
    return next((str(name) for name in names if name is not None), place)
