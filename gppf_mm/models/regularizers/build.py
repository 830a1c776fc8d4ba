"""From ``lego.regularizers`` to regularizers."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_arguments

from ..routers import BaseRouter, LearnedRouter
from .base import RoutingRegularizer

_WHERE = "model.lego.regularizers"


def build_regularizers(
    cfgs: Sequence[Mapping[str, Any]], router: BaseRouter
) -> nn.ModuleList:
    """Build the regularizers of a router.

    Args:
        cfgs: For each its ``type``, ``weight`` and other arguments.
        router: The router.

    Raises:
        TypeError: If a type is no `RoutingRegularizer`.
        ValueError: If this is no list of configs, the router learns nothing, or two
            have the same name.
    """
    cfgs = cfgs or ()
    if not isinstance(cfgs, Sequence) or not all(
        isinstance(cfg, Mapping) and "type" in cfg and "weight" in cfg for cfg in cfgs
    ):
        raise ValueError(
            f"`{_WHERE}` is {cfgs!r}; expected a list of dicts with the keys `type` "
            "and `weight`, such as [dict(type='gppf_mm.BalanceLoss', weight=0.01)]."
        )
    if cfgs and not isinstance(router, LearnedRouter):
        raise ValueError(
            f"`{_WHERE}` needs a router with logits; `model.lego.router.type` is "
            f"{type(router).__name__}. Take one such as 'gppf_mm.TopKRouter', or leave "
            "the regularizers out."
        )
    built = nn.ModuleList()
    names: set[str] = set()
    for cfg in cfgs:
        kind = cfg["type"]
        kind = kind if inspect.isclass(kind) else MODELS.get(str(kind))
        if not (inspect.isclass(kind) and issubclass(kind, RoutingRegularizer)):
            raise TypeError(
                f"`{_WHERE}` has the type {cfg['type']!r}; expected 'gppf_mm."
                "BalanceLoss', 'gppf_mm.SharingLoss', 'gppf_mm.EntropyLoss' or a "
                "registered RoutingRegularizer of your own."
            )
        check_arguments(_WHERE, cfg, kind)
        item = MODELS.build(dict(cfg))
        if item.name in names:
            raise ValueError(
                f"`{_WHERE}` has two of the name {item.name!r}, under which values are "
                "logged. Join their weights, or leave one out."
            )
        names.add(item.name)
        built.append(item)
    return built
