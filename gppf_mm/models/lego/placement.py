"""Where each parameter of the shared network lives."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

from torch import nn

from .norms import NormMode, is_norm
from .presets import Preset, find_shared

Placement = Literal["lego", "shared", "private"]
PlacementRule = tuple[str, Placement]

_NORM_PLACEMENTS: dict[NormMode, Placement] = {
    "private": "private",
    "shared": "shared",
    "unit": "lego",
}

_SHARED_LEAVES = (
    "*pos_embed*",
    "*position*",
    # TNT: patch_pos, pixel_pos; ViG: relative_pos; MViT and SAM: rel_pos_h, rel_pos_w.
    "*_pos",
    "rel_pos_*",
    # LeViT and EfficientFormer call their relative-position table so.
    "attention_biases",
    "*token*",
    # CLIP's class token.
    "class_embedding",
)


def place_parameters(
    module: nn.Module,
    rules: Sequence[PlacementRule] = (),
    preset: Preset = "default",
    norm: NormMode = "private",
) -> dict[str, Placement]:
    """Decide the placement of every parameter of a module.

    * ``lego``: K units in the bank. Default of everything not named below, that is of
      the weights and biases of convolution and linear layers, and of LayerScale.
    * ``shared``: one copy in the bank. Default of position embeddings, tokens,
      relative-position tables and embedding tables.
    * ``private``: the task's own. Default of normalisation layers, since statistics
      mixed over tasks are the known way to ruin a multi-domain network; and of what
      cannot be mixed: recurrent layers, and numbers that are not floating-point.

    The defaults are our choice; the paper's abstract does not state them.

    Args:
        module: A stock network.
        rules: ``(pattern, placement)`` pairs; shell-style patterns over parameter
            names. The first that matches wins over the defaults. See `check_rules`.
            Defaults to none.
        preset: Makes some of what has units by default shared; see `find_shared`.
            Defaults to ``'default'``.
        norm: Where normalisation layers live; ``'unit'`` gives them units (see
            `RunningStatistics`). Defaults to ``'private'``.

    Returns:
        The placement of each parameter, by name, in the module's order.

    Raises:
        ValueError: If ``norm`` is none of the three, or a rule is not a pair of
            pattern and placement.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        >>> place_parameters(net, rules=[("*.bias", "private")])
        {'0.weight': 'lego', '0.bias': 'private', '1.weight': 'private', \
'1.bias': 'private'}
    """
    if norm not in get_args(NormMode):
        raise ValueError(
            f"`lego.norm` is {norm!r}; expected one of {get_args(NormMode)}."
        )
    _check_pairs(rules)
    shared = find_shared(module, preset)
    placement: dict[str, Placement] = {}
    for name, parameter in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        where = _default(owner, name, parameter)
        if is_norm(owner):
            where = _NORM_PLACEMENTS[norm]
        if where == "lego" and name in shared:
            where = "shared"
        placement[name] = _match(name, rules) or where
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
    _check_pairs(rules)
    for rule in rules:
        if not any(fnmatchcase(name, rule[0]) for name in names):
            raise ValueError(
                f"`lego.placement` has the pattern {rule[0]!r}, which matches no "
                f"parameter; the shared network's names look like {names[0]!r} and "
                f"{names[-1]!r}."
            )


def _check_pairs(rules: Sequence[PlacementRule]) -> None:
    for rule in rules:
        if (
            not isinstance(rule, Sequence)
            or len(rule) != 2
            or not isinstance(rule[0], str)
            or rule[1] not in get_args(Placement)
        ):
            raise ValueError(
                f"`lego.placement` has the rule {rule!r}; expected a pair "
                f"(pattern, placement) with a placement of {get_args(Placement)}."
            )


def _match(name: str, rules: Sequence[PlacementRule]) -> Placement | None:
    return next((to for pattern, to in rules if fnmatchcase(name, pattern)), None)


def _default(owner: nn.Module, name: str, parameter: nn.Parameter) -> Placement:
    if is_norm(owner) or isinstance(owner, nn.RNNBase):
        return "private"
    if not parameter.is_floating_point():
        return "private"
    leaf = name.rpartition(".")[2]
    if isinstance(owner, nn.Embedding) or any(
        fnmatchcase(leaf, pattern) for pattern in _SHARED_LEAVES
    ):
        return "shared"
    # LayerScale too: a scale per channel is linear in its weight as a convolution is,
    # and unlike a norm's it follows no statistics of the task.
    return "lego"
