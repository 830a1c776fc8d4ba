"""Lego networks: a bank of units, plans over it, and their assembly into weights.

A *bank* holds K units for every layer of a stock network. A *plan* picks, for one task,
some units of every routing group and their mixing weights. *Assembly* turns both into
plain weights, which a *skeleton*, the stock network itself, runs with. PyTorch only.

Examples:
    >>> import torch
    >>> from torch import nn
    >>> from gppf_mm.models.lego import (
    ...     LegoBank, Route, RoutingPlan, Skeleton, assemble, place_parameters)
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    >>> placement = place_parameters(network)
    >>> parameters = dict(network.named_parameters())
    >>> lego = {name: parameters[name] for name in ("0.weight", "0.bias")}
    >>> bank = LegoBank(lego, shared={}, num_units=4)
    >>> skeleton = Skeleton(network, placement)
    >>> mix = torch.tensor([0.75, 0.25]).unbind()
    >>> plan = RoutingPlan("det", {"0": Route((0, 2), mix)})
    >>> groups = {"0.weight": "0", "0.bias": "0"}
    >>> skeleton.lay(assemble(bank, plan, groups))
    >>> network(torch.zeros(2, 3, 8, 8)).sum().backward()
    >>> [unit.grad is None for unit in bank.units("0.weight")]
    [False, True, False, True]
"""

from .agreement import Difference, Mismatch, settle_placements
from .assembly import assemble
from .bank import LegoBank
from .grouping import Grouping, group_parameters
from .placement import Placement, PlacementRule, check_rules, place_parameters
from .plan import Route, RoutingPlan
from .skeleton import Skeleton

__all__ = [
    "Difference",
    "Grouping",
    "LegoBank",
    "Mismatch",
    "Placement",
    "PlacementRule",
    "Route",
    "RoutingPlan",
    "Skeleton",
    "assemble",
    "check_rules",
    "group_parameters",
    "place_parameters",
    "settle_placements",
]
