"""What of the tasks' networks goes where: placements, routing groups and units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from mmengine.logging import print_log
from torch import Tensor, nn

from .lego import (
    STATISTICS,
    Difference,
    Grouping,
    Mismatch,
    NormMode,
    NumUnits,
    Placement,
    PlacementRule,
    Preset,
    RunningStatistics,
    check_rules,
    count_units,
    find_preset,
    find_statistics,
    follow_layers,
    group_parameters,
    is_norm,
    place_parameters,
    settle_placements,
)

T = TypeVar("T")
Parts = Mapping[str, nn.Module]
Placements = Mapping[str, Mapping[str, Placement]]


@dataclass(frozen=True)
class Layout:
    """Where everything goes.

    Attributes:
        placements: The placement of each parameter, by task and name.
        groups: The routing group of each parameter, by name.
        group_units: The number of units, K, of each routing group, in the network's
            order.
        units: That of each lego parameter, by name.
        norms: The layers whose running statistics leave a task, by task and name.
    """

    placements: dict[str, dict[str, Placement]]
    groups: dict[str, str]
    group_units: dict[str, int]
    units: dict[str, int]
    norms: dict[str, dict[str, nn.Module]]

    def buffers(self, task: str) -> dict[str, Placement]:
        """Return the placement of the buffers that leave a task, by name."""
        return {
            f"{name}.{leaf}": "lego" if f"{name}.weight" in self.units else "shared"
            for name in self.norms[task]
            for leaf in STATISTICS
        }


def lay_out(
    parts: Mapping[str, Parts],
    num_units: NumUnits,
    group: Grouping,
    placement: str | Sequence[str | PlacementRule],
    mismatch: Mismatch,
    norm: NormMode,
    share: Sequence[str],
) -> Layout:
    """Decide where everything goes; see `LegoNetwork` for the arguments and errors."""
    networks = {task: nn.ModuleDict(modules) for task, modules in parts.items()}
    values = {
        task: dict(network.named_parameters()) for task, network in networks.items()
    }
    preset, rules = find_preset(placement)
    first = {
        task: place_parameters(network, rules, preset, norm)
        for task, network in networks.items()
    }
    check_rules(rules, list(dict.fromkeys(chain(*first.values()))))
    placements, differences = settle_placements(first, values, mismatch)
    if differences:
        _log_private(differences)
    _check_units(preset, placement, placements)
    groups = _groups(parts, placements, norm, group)
    stages = _groups(parts, placements, norm, "stage")
    # The order of the bank, in which the groups are numbered.
    lego = by_part(
        {
            name: None
            for placed in placements.values()
            for name, where in placed.items()
            if where == "lego"
        },
        share,
    )
    counts = count_units(
        num_units, *({name: by[name] for name in lego} for by in (groups, stages))
    )
    norms = {
        task: {} if norm == "private" else _norms(network, placements[task])
        for task, network in networks.items()
    }
    units = {name: counts[groups[name]] for name in lego}
    return Layout(placements, groups, counts, units, norms)


def first_values(
    values: Mapping[str, Mapping[str, Tensor]],
    placements: Placements,
    which: Placement,
) -> dict[str, Tensor]:
    """Return the parameters of one placement, each of the first task that has it."""
    selected: dict[str, Tensor] = {}
    for task, placement in placements.items():
        for name, where in placement.items():
            if where == which:
                selected.setdefault(name, values[task][name])
    return selected


def by_part(values: dict[str, T], share: Sequence[str]) -> dict[str, T]:
    """Order values by the part they are in, and within a part as they are.

    So it does not depend on which tasks there are, and which of them have which part:
    a task that leaves a checkpoint must not renumber the groups of the others.
    """
    places = {part: place for place, part in enumerate(share)}
    names = sorted(values, key=lambda name: places.get(name.partition(".")[0], 0))
    return {name: values[name] for name in names}


def collect_statistics(layout: Layout) -> RunningStatistics:
    """Take over the running statistics that leave the tasks."""
    layers: dict[str, nn.Module] = {}
    for found in layout.norms.values():
        layers |= {name: layer for name, layer in found.items() if name not in layers}
    weights = {name: f"{name}.weight" for name in layers}
    units = layout.units
    return RunningStatistics(
        layers,
        {name: units.get(weight, 1) for name, weight in weights.items()},
        {n: layout.groups[weight] for n, weight in weights.items() if weight in units},
    )


def _groups(
    parts: Mapping[str, Parts],
    placements: Placements,
    norm: NormMode,
    by: Grouping,
) -> dict[str, str]:
    """Name each parameter's routing group, as the first task has it that has it."""
    found: dict[str, str] = {}
    for task, networks in parts.items():
        for part, network in networks.items():
            groups = {
                f"{part}.{name}": f"{part}.{group}"
                for name, group in group_parameters(network, by).items()
            }
            norms = {
                f"{part}.{name}.{leaf}"
                for name, layer in network.named_modules()
                if is_norm(layer)
                for leaf in layer._parameters
            }
            lego = {name for name in groups if placements[task].get(name) == "lego"}
            # Norms that are lego by a rule alone have routes of their own.
            followers = norms if norm == "unit" else norms - lego
            layers = lego - followers
            groups = follow_layers(groups, layers, followers)
            found |= {n: group for n, group in groups.items() if n not in found}
    return found


def _norms(
    network: nn.Module, placement: Mapping[str, Placement]
) -> dict[str, nn.Module]:
    """Return the layers whose running statistics leave a task, by name."""
    return {
        name: layer
        for name, layer in find_statistics(network)
        if placement.get(f"{name}.weight", "private") != "private"
    }


def _check_units(
    preset: Preset,
    placement: str | Sequence[str | PlacementRule],
    placements: Placements,
) -> None:
    """Refuse a network of which nothing has units: there is nothing to route."""
    where = {to for placed in placements.values() for to in placed.values()}
    if "lego" in where:
        return
    if preset != "default":
        raise ValueError(
            f"With the preset {preset!r} of `lego.placement` no layer of this network "
            "has units. Choose another, or say by rules which have: "
            f"lego.placement=[('*.layer4.*', 'lego'), {preset!r}]."
        )
    raise ValueError(
        f"With `lego.placement` {placement!r} no layer of this network has units: all "
        f"its parameters are {' or '.join(sorted(where)) or 'missing'}. Give some "
        "units, by rules such as ('*.layer4.*', 'lego'). Hard sharing is num_units=1 "
        "with router=dict(type='gppf_mm.FixedRouter'), without such a placement."
    )


def _log_private(differences: Sequence[Difference]) -> None:
    print_log(
        f"lego.mismatch='private': {len(differences)} parameter(s) of the shared parts "
        f"stay private because the tasks differ in them; the first is "
        f"{differences[0].name!r}.",
        logger="current",
    )
