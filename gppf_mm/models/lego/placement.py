"""Where each parameter of the shared network lives."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

from torch import nn

Placement = Literal["lego", "shared", "private"]
PlacementRule = tuple[str, Placement]

_NORM_CLASS = re.compile(r"(Norm|Norm[123]d|GRN|FRN)$")
_SHARED_LEAVES = ("*pos_embed*", "*position*", "*token*", "rel_pos*")


def place_parameters(
    module: nn.Module, rules: Sequence[PlacementRule] = ()
) -> dict[str, Placement]:
    """Decide the placement of every parameter of a module.

    * ``lego``: K units in the bank. Default of everything not named below, that is of
      the weights and biases of convolution and linear layers.
    * ``shared``: one copy in the bank. Default of position embeddings, tokens and
      relative-position tables.
    * ``private``: the task's own. Default of normalisation layers, since statistics
      mixed over tasks are the known way to ruin a multi-domain network.

    The defaults are our choice; the paper's abstract does not state them.

    Args:
        module: A stock network.
        rules: ``(pattern, placement)`` pairs; shell-style patterns over parameter
            names. The first that matches wins over the defaults. See `check_rules`.
            Defaults to none.

    Returns:
        The placement of each parameter, by name, in the module's order.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        >>> place_parameters(net, rules=[("*.bias", "private")])
        {'0.weight': 'lego', '0.bias': 'private', '1.weight': 'private', \
'1.bias': 'private'}
    """
    placement: dict[str, Placement] = {}
    for name, _ in module.named_parameters():
        owner, _, leaf = name.rpartition(".")
        placement[name] = _match(name, rules) or _default(
            module.get_submodule(owner), leaf
        )
    return placement


def check_rules(rules: Sequence[PlacementRule], names: Sequence[str]) -> None:
    """Refuse placement rules that cannot be meant.

    A rule may be for parameters that only some of the tasks have.

    Args:
        rules: The rules, as for `place_parameters`.
        names: The parameter names of all tasks.

    Raises:
        ValueError: If a rule is not a pair of pattern and placement, or matches no
            parameter of any task.
    """
    for rule in rules:
        if len(rule) != 2 or rule[1] not in get_args(Placement):
            raise ValueError(
                f"`lego.placement` has the rule {rule!r}; expected a pair "
                f"(pattern, placement) with a placement of {get_args(Placement)}."
            )
        if not any(fnmatchcase(name, rule[0]) for name in names):
            raise ValueError(
                f"`lego.placement` has the pattern {rule[0]!r}, which matches no "
                f"parameter; the shared network's names look like {names[0]!r} and "
                f"{names[-1]!r}."
            )


def _match(name: str, rules: Sequence[PlacementRule]) -> Placement | None:
    return next((to for pattern, to in rules if fnmatchcase(name, pattern)), None)


def _default(owner: nn.Module, leaf: str) -> Placement:
    if _NORM_CLASS.search(type(owner).__name__):
        return "private"
    if any(fnmatchcase(leaf, pattern) for pattern in _SHARED_LEAVES):
        return "shared"
    return "lego"
