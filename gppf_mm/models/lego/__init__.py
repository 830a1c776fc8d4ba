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
from .grouping import Grouping, follow_layers, group_parameters, stage_of
from .norms import NormMode, is_norm
from .placement import Placement, PlacementRule, check_rules, place_parameters
from .plan import Route, RoutingPlan
from .presets import Preset, find_preset
from .skeleton import Skeleton
from .statistics import STATISTICS, RunningStatistics, find_statistics
from .units import NumUnits, count_units

__all__ = [
    "STATISTICS",
    "Difference",
    "Grouping",
    "LegoBank",
    "Mismatch",
    "NormMode",
    "NumUnits",
    "Placement",
    "PlacementRule",
    "Preset",
    "Route",
    "RoutingPlan",
    "RunningStatistics",
    "Skeleton",
    "assemble",
    "check_rules",
    "count_units",
    "find_preset",
    "find_statistics",
    "follow_layers",
    "group_parameters",
    "is_norm",
    "place_parameters",
    "settle_placements",
    "stage_of",
]
