"""The routing with which a checkpoint was trained, which its weights do not show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gppf_mm.models.routing_settings import (
    first_difference,
    read_settings,
    settings_of,
)


def check_routing(cfg: Config, content: Mapping[str, Any], path: str | Path) -> None:
    """Require that a checkpoint was trained with the routing of a config.

    What a router says task by task is compared for the tasks of both: a checkpoint
    whose tasks were edited has the config of its run.

    Args:
        cfg: The config.
        content: The checkpoint, in whose ``meta`` the run's config is found, if at all.
        path: Its file, named in errors.

    Raises:
        ValueError: If the routing differs.
    """
    trained = read_settings((content.get("meta") or {}).get("cfg"))
    if not trained:
        return
    difference = first_difference(trained, settings_of(cfg.model.get("lego") or {}))
    if difference:
        key, theirs, own = difference
        raise ValueError(
            f"The checkpoint {str(path)!r} is of another config: it was trained with "
            f"`model.lego.{key}` {theirs!r}, and the config has {own!r}. The weights "
            "fit, but the predictions would be others. Use the config that the run "
            "wrote beside its checkpoints."
        )
