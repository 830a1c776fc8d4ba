"""What several tasks can share: the parameters in which their networks agree."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from .placement import Placement

Mismatch = Literal["error", "private"]

_LISTED = 5  # Differences that an error spells out.


class Difference(NamedTuple):
    """A parameter in which two tasks differ.

    Attributes:
        name: Its name in the shared network.
        found: What each of two tasks has, by task: a shape, or ``'missing'``.
    """

    name: str
    found: dict[str, str]


def settle_placements(
    placements: Mapping[str, Mapping[str, Placement]],
    values: Mapping[str, Mapping[str, Tensor]],
    mismatch: Mismatch = "error",
) -> tuple[dict[str, dict[str, Placement]], list[Difference]]:
    """Make the placements of several tasks agree.

    A part of the network, the first component of a name, is compared between the tasks
    that have a parameter of it; the other tasks do not take part in it.

    Args:
        placements: The placement of each parameter by task and name, as
            `place_parameters` gives it.
        values: The parameters themselves, by task and name.
        mismatch: ``'error'``: what one task shares, every task of the part must have
            in the same shape. ``'private'``: what differs becomes private in every
            task that has it. Defaults to ``'error'``.

    Returns:
        The settled placements, and the differences that became private.

    Raises:
        ValueError: If ``mismatch`` is neither of the two, if tasks differ and may not,
            or if they differ in all that they could share.
    """
    if mismatch not in get_args(Mismatch):
        raise ValueError(
            f"`model.lego.mismatch` is {mismatch!r}; expected one of "
            f"{get_args(Mismatch)}."
        )
    differences = list(_differences(placements, values))
    if differences and mismatch == "error":
        raise ValueError(_describe(differences))
    private = {difference.name for difference in differences}
    settled: dict[str, dict[str, Placement]] = {
        task: {
            name: "private" if name in private else where
            for name, where in placement.items()
        }
        for task, placement in placements.items()
    }
    kept = {where for placement in settled.values() for where in placement.values()}
    if differences and kept == {"private"}:
        raise ValueError(
            "With `model.lego.mismatch='private'` nothing remains to share: "
            + _describe(differences, remedies=(_COMMON_BACKBONE,))
        )
    return settled, differences


def _differences(
    placements: Mapping[str, Mapping[str, Placement]],
    values: Mapping[str, Mapping[str, Tensor]],
) -> Iterator[Difference]:
    members: dict[str, list[str]] = {}
    names: dict[str, None] = {}
    for task, placement in placements.items():
        for part in dict.fromkeys(name.partition(".")[0] for name in placement):
            members.setdefault(part, []).append(task)
        names |= {name: None for name, to in placement.items() if to != "private"}
    for name in names:
        found = {
            task: (values[task][name].shape, placements[task][name])
            if name in values[task]
            else None
            for task in members[name.partition(".")[0]]
        }
        first, *others = found
        other = next((task for task in others if found[task] != found[first]), None)
        if other is not None:
            yield Difference(
                name, {task: _text(found[task]) for task in (first, other)}
            )


def _text(found: tuple[Sequence[int], Placement] | None) -> str:
    return "missing" if found is None else f"{tuple(found[0])} ({found[1]})"


_COMMON_BACKBONE = (
    "give all tasks the same backbone type, depth and width, in a config of recipes "
    "with one top-level `backbone=`"
)
_KEEP_PRIVATE = (
    "keep just these parameters in each task with `model.lego.mismatch='private'`"
)


def _describe(
    differences: Sequence[Difference],
    remedies: Sequence[str] = (_COMMON_BACKBONE, _KEEP_PRIVATE),
) -> str:
    tasks = dict.fromkeys(task for item in differences for task in item.found)
    listed = [
        f"{item.name!r}: "
        + ", ".join(f"{what} in {task!r}" for task, what in item.found.items())
        for item in differences[:_LISTED]
    ]
    if len(differences) > _LISTED:
        listed.append(f"and {len(differences) - _LISTED} more")
    return (
        f"{' and '.join(f'`model.tasks.{task}`' for task in tasks)} differ in "
        f"{len(differences)} parameter(s) of their shared parts: {'; '.join(listed)}. "
        f"Tasks over one bank need the same names and shapes: {', or '.join(remedies)}."
    )
