"""The tasks' mixing weights as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from gppf_mm.models import GPPF
from gppf_mm.models.lego import stage_of
from gppf_mm.models.parts import find_parts


@dataclass(frozen=True)
class Routes:
    """The mixing weights of all tasks at one moment.

    Attributes:
        groups: The routing groups, from the network's input to its output.
        stages: The stage of each group: ``'backbone.layer1'``.
        units: The number of units of each group.
        weights: For each task an array of shape ``(groups, K)`` with K the largest
            number of units: 0 where the task does not activate the unit, NaN where it
            has no such unit, be it that the group has fewer or that the task lacks the
            group's layers.
    """

    groups: tuple[str, ...]
    stages: tuple[str, ...]
    units: tuple[int, ...]
    weights: Mapping[str, np.ndarray]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks."""
        return tuple(self.weights)

    def select(self, tasks: tuple[str, ...]) -> "Routes":
        """Return the routes of some tasks, in their order."""
        return replace(self, weights={task: self.weights[task] for task in tasks})

    def labels(self) -> tuple[str, ...]:
        """Return the groups' names, without the shared part's where there is one."""
        return _shorten(self.groups)

    def stage_labels(self) -> tuple[str, ...]:
        """Return the stages' names, each once, like `labels`."""
        return _shorten(tuple(dict.fromkeys(self.stages)))


@torch.no_grad()
def read_routes(model: GPPF) -> Routes:
    """Read the tasks' routes in evaluation, without the noise of training.

    Args:
        model: The multi-task model. It is left as it is, whatever its mode.

    Returns:
        The routes of all tasks.
    """
    network = model.network
    names: dict[str, list[str]] = {}
    for name in network.bank.lego_names:
        names.setdefault(network.groups[name], []).append(name)
    # In the order of the plan, which is the network's.
    names = {group: names[group] for group in network.router.groups if group in names}
    units = tuple(len(network.bank.units(members[0])) for members in names.values())
    stages = _stages(model)
    weights = {}
    training = network.router.training
    # Not the network's mode, whose change drops assembled weights; and past the plan
    # that the present step has drawn.
    network.router.eval()
    for task in model.task_names:
        table = np.full((len(names), max(units)), np.nan)
        own = frozenset(network.shared_names(task))
        routes = network.router.draw(task, network.step_of(task)).routes
        for row, (group, members) in enumerate(names.items()):
            if own.isdisjoint(members):
                continue
            table[row, : units[row]] = 0.0
            values = routes[group].values or (1.0,)
            table[row, list(routes[group].units)] = values
        weights[task] = table
    network.router.train(training)
    firsts = [members[0] for members in names.values()]
    return Routes(tuple(names), tuple(stages[name] for name in firsts), units, weights)


def _stages(model: GPPF) -> dict[str, str]:
    """Name the stage of each of the bank's parameters."""
    parts = find_parts(model.tasks, model.share, model.paths)
    stages: dict[str, str] = {}
    for task, modules in parts.items():
        for name in model.network.shared_names(task):
            part, _, rest = name.partition(".")
            stages.setdefault(name, f"{part}.{stage_of(modules[part], rest)}")
    return stages


def _shorten(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.partition(".")[0] for name in names}) > 1:
        return names
    return tuple(name.partition(".")[2] or name for name in names)
