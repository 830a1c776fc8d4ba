"""The run's seed, for the router too."""

from collections.abc import Mapping
from inspect import isclass, signature
from typing import Any

from mmengine.config import Config

from gppf_mm.models.routers import LearnedRouter
from gppf_mm.registry import MODELS


def seed_router(cfg: Config | dict[str, Any]) -> None:
    """Give a run's seed to its router, unless that has one of its own.

    The router's first values and its noise follow it. They are made with the model,
    before the runner's own seed is anywhere but in the config.

    Args:
        cfg: The run's config, changed in place.
    """
    seed = (cfg.get("randomness") or {}).get("seed")
    model = cfg.get("model")
    lego = model.get("lego") if isinstance(model, Mapping) else None
    router = lego.get("router") if isinstance(lego, Mapping) else None
    if seed is None or not isinstance(router, dict) or "seed" in router:
        return
    kind = router.get("type")
    kind = kind if isclass(kind) else MODELS.get(str(kind))
    learns = isclass(kind) and issubclass(kind, LearnedRouter)
    if learns and "seed" in signature(kind).parameters:
        router["seed"] = seed
