"""The one pool of loader workers, from the loader configs of several tasks."""

from collections.abc import Mapping
from typing import Any

# What a loader's config says about its workers, besides their number.
POOL_KEYS = ("prefetch_factor", "pin_memory", "multiprocessing_context", "timeout")
# The same with what the pool has no use for; a loader without workers needs none.
WORKER_KEYS = ("persistent_workers", *POOL_KEYS)


def pool_options(
    cfgs: Mapping[str, dict], num_workers: int | None = None
) -> dict[str, Any]:
    """Return what the one pool of workers takes over from the tasks' loader configs.

    Args:
        cfgs: The stock loader config of each task.
        num_workers: Worker processes. Defaults to None, the largest number of a task.

    Raises:
        ValueError: If tasks want their workers started differently, or the number of
            workers is none.
    """
    if num_workers is None:
        num_workers = max(cfg.get("num_workers", 0) for cfg in cfgs.values())
    if not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(
            f"`train_cfg.num_workers` is {num_workers!r}; expected the number of "
            "worker processes for all tasks together, 0 for none."
        )
    key = "multiprocessing_context"
    contexts = {task: cfg[key] for task, cfg in cfgs.items() if cfg.get(key)}
    if len(set(contexts.values())) > 1:
        raise ValueError(
            f"`train_dataloader` has tasks with different `{key}`: {contexts}. One "
            "pool of workers serves all tasks; set `env_cfg.mp_cfg.mp_start_method`."
        )
    prefetch = [cfg["prefetch_factor"] for cfg in cfgs.values() if _prefetches(cfg)]
    return dict(
        num_workers=num_workers,
        pin_memory=any(cfg.get("pin_memory") for cfg in cfgs.values()),
        prefetch_factor=max(prefetch, default=None),
        multiprocessing_context=next(iter(contexts.values()), None),
        timeout=max(cfg.get("timeout", 0) for cfg in cfgs.values()),
    )


def _prefetches(cfg: Mapping[str, Any]) -> bool:
    return cfg.get("prefetch_factor") is not None
