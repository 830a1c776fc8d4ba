"""Building the stock loaders and evaluators of several tasks."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from inspect import signature

from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from gppf_mm.datasets import AnnotationStore
from gppf_mm.datasets.stream import GROUPING
from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.messages import check_names

from .pool_options import WORKER_KEYS

# What MMEngine takes out of a loader's config before PyTorch gets the rest.
_LOADER_KEYS = ("_scope_", "num_batch_per_epoch", *signature(DataLoader).parameters)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def task_names(runner: Runner) -> tuple[str, ...]:
    """Return the tasks of the runner's model.

    Raises:
        TypeError: If the model is not a multi-task model.
    """
    names = getattr(unwrap(runner.model), "task_names", None)
    if names is None:
        raise TypeError(
            f"`model` is a {type(unwrap(runner.model)).__name__}, which has no tasks; "
            "a SIMT loop expects model=dict(type='gppf_mm.GPPF', tasks=...)."
        )
    return names


def common_seed(runner: Runner) -> int:
    """Return the run's seed, the same on all ranks.

    With ``randomness.diff_rank_seed`` MMEngine adds the rank to what the runner has.
    """
    differs = runner._randomness_cfg.get("diff_rank_seed", False)
    return runner.seed - get_rank() if differs else runner.seed


def check_loader_cfgs(where: str, cfgs: Mapping[str, dict]) -> None:
    """Require a loader config for each task, as a stock config has it for one.

    Args:
        where: The config key, named in errors.
        cfgs: What stands under it.

    Raises:
        TypeError: If a task's config is not a dict.
        ValueError: If it has no batch size or data set, a key that loaders do not know,
            or no sampler where each process reads a share of the data.
    """
    for task, cfg in cfgs.items():
        if not isinstance(cfg, dict):
            raise TypeError(
                f"`{where}.{task}` is {cfg!r}; expected the stock loader config of "
                f"the task, a dict: `{where}` is keyed by task."
            )
        check_names(f"{where}.{task}", cfg, _LOADER_KEYS)
        for key in ("batch_size", "dataset"):
            if cfg.get(key) is None:
                raise ValueError(
                    f"`{where}.{task}.{key}` is missing; every task needs its own."
                )
        ranks = get_world_size()
        if ranks > 1 and cfg.get("sampler") is None:
            raise ValueError(
                f"`{where}.{task}.sampler` is missing, and without it each of the "
                f"{ranks} processes reads all of the data, the same samples at a time. "
                "Expected a sampler that gives each its share, such as dict(type="
                "'DefaultSampler', shuffle=True); shuffle=False where nothing is "
                "trained."
            )


def build_loaders(
    runner: Runner, cfgs: Mapping[str, dict], where: str
) -> dict[str, DataLoader]:
    """Build each task's stock loader.

    Args:
        runner: The runner, whose seed the samplers get; annotations are shared through
            the `AnnotationStore` that its config names under ``annotation_store``.
        cfgs: The stock loader config of each task; its ``_scope_``, if there is one, is
            the default scope of what it holds.
        where: The config key they stand under, named in errors.

    Returns:
        The loaders by task.

    Raises:
        ValueError: If a data set has no sample.
    """
    loaders = {}
    folder = runner.cfg.get("annotation_store")
    store = None if folder is None else AnnotationStore(folder)
    for task, cfg in cfgs.items():
        cfg = deepcopy(cfg)
        if store is not None and isinstance(cfg.get("dataset"), Mapping):
            cfg["dataset"] = dict(type=store.build, cfg=cfg["dataset"])
        with DefaultScope.overwrite_default_scope(cfg.pop("_scope_", None)):
            try:
                loaders[task] = runner.build_dataloader(
                    cfg,
                    seed=runner.seed,
                    diff_rank_seed=runner._randomness_cfg.get("diff_rank_seed", False),
                )
            except ValueError as error:
                # What NumPy says when a stock data set joins its samples.
                if "need at least one array" not in str(error):
                    raise
                raise ValueError(_no_samples(f"{where}.{task}.dataset")) from error
    return loaders


def _no_samples(where: str) -> str:
    return (
        f"`{where}` has no sample. Its annotation file or folder was read, but either "
        f"it names no image, or none of its classes is in `{where}.metainfo.classes` "
        "(by default those of the recipe's own set), or its filter leaves none."
    )


def restartable(cfg: dict) -> dict:
    """Return a training loader's config with what the SIMT loader does itself.

    The SIMT loader starts the workers and repeats epochs, so the stock loader has no
    workers and an ``InfiniteSampler`` becomes the ``DefaultSampler`` of the same order;
    a sampler of one's own, whatever it derives from, stays.
    The incomplete last batch, which an infinite sampler never yields, is dropped,
    unless the config says otherwise or does not shuffle.
    """
    cfg = deepcopy(cfg)
    for key in WORKER_KEYS:
        cfg.pop(key, None)
    cfg["num_workers"] = 0
    sampler = cfg.get("sampler")
    if not isinstance(sampler, dict):
        return cfg
    if class_name(sampler.get("type")) == "InfiniteSampler":
        sampler["type"] = "DefaultSampler"
        # Without shuffling, the same samples would be left out every time.
        drops = sampler.get("shuffle", True)
        batch_sampler = cfg.get("batch_sampler")
        if batch_sampler is None:
            cfg.setdefault("drop_last", drops)
        elif class_name(batch_sampler.get("type")) in GROUPING:
            batch_sampler.setdefault("drop_last", drops)
    return cfg


def build_evaluators(
    runner: Runner, cfgs: Mapping[str, dict | list], tasks: Iterable[str]
) -> dict[str, Evaluator]:
    """Build each task's stock evaluator."""
    return {task: runner.build_evaluator(cfgs[task]) for task in tasks}
