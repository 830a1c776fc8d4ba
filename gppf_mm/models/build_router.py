"""A router from its config."""

from collections.abc import Mapping, Sequence
from inspect import isclass
from typing import Any

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_arguments

from .routers import BaseRouter

_WHERE = "model.lego.router"
# What the layout of the network gives, and the config does not.
_GIVEN = ("tasks", "groups", "num_units")


def build_router(
    cfg: Mapping[str, Any], tasks: Sequence[str], group_units: Mapping[str, int]
) -> BaseRouter:
    """Build the router of a network.

    Args:
        cfg: Its ``type`` and own arguments, without ``group``.
        tasks: Names of the tasks.
        group_units: The number of units in each routing group.

    Raises:
        TypeError: If the type is no router.
        ValueError: If the router does not know a key, needs another, or a value cannot
            be.
    """
    kind = cfg.get("type")
    kind = kind if isclass(kind) else MODELS.get(str(kind))
    if not (isclass(kind) and issubclass(kind, BaseRouter)):
        raise TypeError(
            f"`{_WHERE}.type` is {cfg.get('type')!r}, which is no router; expected "
            "'gppf_mm.TopKRouter', 'gppf_mm.GumbelTopKRouter', 'gppf_mm.SoftRouter', "
            "'gppf_mm.FixedRouter', or a class of your own, registered in MODELS, that "
            "derives from gppf_mm.models.BaseRouter."
        )
    check_arguments(_WHERE, cfg, kind, _GIVEN)
    sizes = tuple(group_units.values())
    given = dict(
        tasks=tuple(tasks),
        groups=tuple(group_units),
        num_units=max(sizes, default=1),
    )
    router = MODELS.build({**cfg, "type": kind}, default_args=given)
    if len(set(sizes)) > 1:
        router.limit_units(sizes)
    return router
