"""Parameters: what is stored, what a task activates, what assembling it costs."""

from dataclasses import dataclass

from gppf_mm.models import GPPF, LegoNetwork
from gppf_mm.models.lego import Route


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of one task, or of all.

    Attributes:
        active: Those that the evaluation plans activate: active units, shared and
            private ones.
        total: Those that are stored: all units, shared and private ones, and the
            router's.
        private: The part of both that one task alone has.
    """

    active: int
    total: int
    private: int


def count_parameters(model: GPPF) -> tuple[dict[str, ParameterCount], ParameterCount]:
    """Count the parameters of each task, and of the whole model.

    A unit that several tasks activate counts once for each of them, and once for the
    whole.

    Args:
        model: The multi-task model, in evaluation mode.

    Returns:
        The counts by task, and those of all tasks together, whose total is what the
        model's checkpoint holds.
    """
    network = model.network
    tasks = {}
    used: set[tuple[str, int]] = set()
    for task in model.task_names:
        private = sum(value.numel() for value in model.tasks[task].parameters())
        units = _active_units(network, task)
        used |= units
        names = network.shared_names(task)
        shared = sum(
            network.bank.parameter(name).numel()
            for name in network.bank.shared_names
            if name in names
        )
        stored = sum(
            unit.numel()
            for name in network.bank.lego_names
            if name in names
            for unit in network.bank.units(name)
        )
        router = sum(value.numel() for value in network.router.parameters_of(task))
        tasks[task] = ParameterCount(
            _size(network, units) + shared + private,
            stored + shared + private + router,
            private,
        )
    private = sum(count.private for count in tasks.values())
    shared = sum(
        network.bank.parameter(name).numel() for name in network.bank.shared_names
    )
    total = sum(value.numel() for value in model.parameters())
    whole = ParameterCount(_size(network, used) + shared + private, total, private)
    return tasks, whole


def assembly_flops(model: GPPF, task: str) -> int:
    """Count the FLOPs of assembling a task's weights, once for each step.

    Mixing k units of n values takes k n multiplications and (k - 1) n additions; a
    unit that is taken as it is takes none. A trained model is assembled once.

    Args:
        model: The multi-task model, in evaluation mode.
        task: The task.

    Returns:
        The FLOPs; those of the backward pass through the mix are not among them.
    """
    network = model.network
    routes = network.draw(task).routes
    names = frozenset(network.shared_names(task))
    return sum(
        _mixing(routes[network.groups[name]]) * network.bank.unit(name, 0).numel()
        for name in network.bank.lego_names
        if name in names
    )


def _mixing(route: Route) -> int:
    """Return the FLOPs for each value of a unit."""
    as_it_is = route.weights is None or route.values == (1.0,)
    return 0 if as_it_is else 2 * len(route.units) - 1


def _active_units(network: LegoNetwork, task: str) -> set[tuple[str, int]]:
    plan = network.draw(task).units()
    names = frozenset(network.shared_names(task))
    return {
        (name, unit)
        for name in network.bank.lego_names
        if name in names
        for unit in plan[network.groups[name]]
    }


def _size(network: LegoNetwork, units: set[tuple[str, int]]) -> int:
    return sum(network.bank.unit(name, index).numel() for name, index in units)
