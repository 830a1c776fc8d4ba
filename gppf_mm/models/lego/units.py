"""How many units the layers of each routing group have."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

# One number for all; one for each stage of the backbone; or by pattern over groups. Not
# a dict of patterns: MMEngine sorts the keys of the configs that it writes.
NumUnits = int | Sequence[int] | Sequence[tuple[str, int]]


def count_units(
    num_units: NumUnits, groups: Mapping[str, str], stages: Mapping[str, str]
) -> dict[str, int]:
    """Return the number of units, K, of every routing group.

    Args:
        num_units: One number for all groups; a list with one for each stage of the
            backbone, in its order; or a list of pairs ``(pattern, K)`` with shell-style
            patterns over the groups' names, such as ``backbone.layer4*``, of which the
            first that matches counts. With one for each stage, shared parts besides the
            backbone have as many units as its last stage (our choice). The backbone is
            the part of that name, or else the first.
        groups: The routing group of each lego parameter, by name, in the network's
            order.
        stages: The stage of each of them, likewise.

    Returns:
        K by group, in the network's order.

    Raises:
        ValueError: If a number is no whole number from 1, there are not as many as the
            backbone has stages, or patterns and groups do not match.

    Examples:
        >>> names = {"backbone.conv1.weight": "backbone.conv1",
        ...          "backbone.layer1.0.weight": "backbone.layer1"}
        >>> count_units([1, 4], names, names)
        {'backbone.conv1': 1, 'backbone.layer1': 4}
    """
    if isinstance(num_units, Sequence) and not isinstance(num_units, str):
        if any(isinstance(item, Sequence) for item in num_units):
            names = list(dict.fromkeys(groups.values()))
            return _by_pattern(_pairs(num_units), names)
        return _by_stage(num_units, groups, stages)
    _check(num_units, "num_units")
    return dict.fromkeys(groups.values(), num_units)


def _by_stage(
    numbers: Sequence, groups: Mapping[str, str], stages: Mapping[str, str]
) -> dict[str, int]:
    for index, number in enumerate(numbers):
        _check(number, f"num_units[{index}]")
    parts = dict.fromkeys(group.partition(".")[0] for group in groups.values())
    # Other parts may come before it, and a network of one part may have any name.
    backbone = "backbone" if "backbone" in parts else next(iter(parts), "")
    found = [
        stage
        for stage in dict.fromkeys(stages.values())
        if stage.partition(".")[0] == backbone
    ]
    if len(numbers) != len(found):
        raise ValueError(
            f"`lego.num_units` is {list(numbers)}, {len(numbers)} number(s); expected "
            f"one for each of the {len(found)} stages of the {backbone} that have "
            f"units: {', '.join(found)}. Give as many, one number for all, or pairs "
            "such as [('*.layer4*', 8), ('*', 4)]."
        )
    by_stage = dict(zip(found, numbers, strict=True))
    counts: dict[str, int] = {}
    for name, group in groups.items():
        counts.setdefault(group, by_stage.get(stages[name], numbers[-1]))
    return counts


def _pairs(items: Sequence) -> list[tuple[str, int]]:
    for item in items:
        pair = isinstance(item, Sequence) and len(item) == 2
        if not pair or not isinstance(item[0], str):
            raise ValueError(
                f"`lego.num_units` has the entry {item!r}; expected numbers alone, or "
                "pairs (pattern, number) alone."
            )
    return [(pattern, number) for pattern, number in items]


def _by_pattern(
    patterns: Sequence[tuple[str, int]], groups: Sequence[str]
) -> dict[str, int]:
    for pattern, number in patterns:
        _check(number, f"num_units[{pattern!r}]")
        if not any(fnmatchcase(group, pattern) for group in groups):
            raise ValueError(
                f"`lego.num_units` has the pattern {pattern!r}, which matches no "
                f"routing group; their names look like {groups[0]!r} and "
                f"{groups[-1]!r}."
            )
    counts: dict[str, int] = {}
    for group in groups:
        found = [k for pattern, k in patterns if fnmatchcase(group, pattern)]
        if not found:
            raise ValueError(
                f"`lego.num_units` has no pattern for the routing group {group!r}. "
                "Add ('*', 4), last, for all that the others leave."
            )
        counts[group] = found[0]
    return counts


def _check(number: Any, key: str) -> None:
    if type(number) is not int or number < 1:
        raise ValueError(
            f"`lego.{key}` is {number!r}; expected a whole number of at least one unit "
            "a layer."
        )
