"""The logits that learned routers start from."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gppf_mm.utils.messages import check_names
from gppf_mm.utils.seeding import derive_seed

# By so much the logits of `initial_routes` begin above the others (our choice): they
# decide what is chosen, and half a dozen updates of Adam at a rate of 0.1 undo it.
HEAD_START = 1.0


def first_logits(
    tasks: Sequence[str],
    shape: tuple[int, int],
    init_std: float,
    seed: int,
    affinity: Sequence[Sequence[str]] = (),
    initial_routes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """Draw the first logits of each task.

    Args:
        tasks: Names of the tasks.
        shape: Groups and units.
        init_std: Standard deviation of the draw.
        seed: Its seed.
        affinity: Lists of tasks. Those of a list start from the same draw, hence with
            the same routes (our choice). Defaults to none.
        initial_routes: The units that a task starts with, in every group: their logits
            begin higher by `HEAD_START`. Defaults to None, those of the draw.

    Returns:
        The logits by task, of this shape.

    Raises:
        ValueError: If a task or unit does not exist, or a task is in two lists.
    """
    leaders = _leaders(tasks, affinity)
    check_names("model.lego.router.initial_routes", initial_routes or (), tasks)
    logits: dict[str, Tensor] = {}
    for task in tasks:
        generator = torch.Generator().manual_seed(
            derive_seed(seed, "router logits", leaders[task])
        )
        logits[task] = init_std * torch.randn(*shape, generator=generator)
    for task, units in (initial_routes or {}).items():
        check_units(f"lego.router.initial_routes.{task}", units, shape[1])
        logits[task][:, list(units)] += HEAD_START
    return logits


def check_units(where: str, units: Sequence[int], num_units: int) -> None:
    """Require a list of units that exist, each named once, and at least one.

    Args:
        where: The config key that lists them.
        units: The units.
        num_units: Units per layer.

    Raises:
        ValueError: If they are not such units.
    """
    if not _is_list(units) or not all(type(unit) is int for unit in units):
        raise ValueError(
            f"`{where}` is {units!r}; expected a list of units, such as [0, 1]."
        )
    if not units or len(set(units)) < len(units):
        raise ValueError(
            f"`{where}` is {list(units)}; expected at least one unit, each named once."
        )
    if not all(0 <= unit < num_units for unit in units):
        raise ValueError(
            f"`{where}` is {list(units)}; expected units from 0 to {num_units - 1} "
            f"(`lego.num_units` is {num_units})."
        )


def check_group_units(
    where: str,
    routes: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    group_units: Sequence[int],
) -> None:
    """Require that every group of several units has those that routes name.

    Args:
        where: The config key under which the routes stand, by task.
        routes: The units of each task, for all groups.
        groups: Names of the routing groups.
        group_units: K of each group.

    Raises:
        ValueError: If a group has fewer units.
    """
    for group, count in zip(groups, group_units, strict=True):
        for task, units in routes.items():
            if 1 < count <= max(units):
                raise ValueError(
                    f"`{where}.{task}` is {list(units)}, but the group {group!r} has "
                    f"units from 0 to {count - 1} (`lego.num_units`). Use these, or "
                    "give the group more units, or a single one, which all tasks take."
                )


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _leaders(tasks: Sequence[str], affinity: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return for each task the one whose draw it starts from."""
    where = "model.lego.router.affinity"
    leaders: dict[str, str] = {}
    if not _is_list(affinity):
        raise ValueError(
            f"`{where}` is {affinity!r}; expected a list of lists of tasks, such as "
            f"{[list(tasks[:2])]}."
        )
    for alike in affinity:
        if not _is_list(alike) or len(alike) < 2:
            raise ValueError(
                f"`{where}` has the entry {alike!r}; expected lists of at least two "
                f"tasks, such as {[list(tasks[:2])]}."
            )
        check_names(where, alike, tasks)
        for task in alike:
            if task in leaders:
                raise ValueError(
                    f"`{where}` names the task {task!r} twice; expected each task in "
                    "at most one list. Join the lists."
                )
            leaders[task] = alike[0]
    return {task: leaders.get(task, task) for task in tasks}
