"""Placements by name: which layers have units, and which are shared instead."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from .grouping import stage_of
from .norms import is_norm

Preset = Literal["default", "conv", "ffn", "shared_stem"]
# Of these modules, which `find_shared` is given by name, the stem is looked for.
_BACKBONE = "backbone"


def find_preset(placement: str | Sequence) -> tuple[Preset, list]:
    """Part a placement into the preset it starts from, and rules.

    Args:
        placement: A preset's name, a list of rules, or a list of rules with a preset's
            name among them. Rules win over the preset, wherever it stands.

    Returns:
        The preset, ``'default'`` where none is named, and the rules.

    Raises:
        ValueError: If this is no list, there is no such preset, or more than one.
    """
    items: Any = [placement] if isinstance(placement, str) else placement
    if not isinstance(items, Sequence):
        raise ValueError(
            f"`lego.placement` is {placement!r}; expected one of {get_args(Preset)}, "
            "or pairs in a list: [('*.layer4.*', 'lego')]."
        )
    names: list = [item for item in items if isinstance(item, str)]
    for name in names:
        if name not in get_args(Preset):
            # A single pair without its list has a pattern and a placement.
            alone = len(items) == len(names) == 2 and name == items[0]
            pair = tuple(items) if alone else (name, "shared")
            raise ValueError(
                f"`lego.placement` names the preset {name!r}; expected one of "
                f"{get_args(Preset)}, or pairs in a list: [{pair}]."
            )
    if len(names) > 1:
        raise ValueError(
            f"`lego.placement` names the presets {names}; expected one at most, and "
            "rules beside it, which win over it."
        )
    rules = [item for item in items if not isinstance(item, str)]
    return next(iter(names), "default"), rules


def find_shared(module: nn.Module, preset: Preset) -> frozenset[str]:
    """Return the parameters that a preset shares where the default is units.

    * ``default``: none.
    * ``conv``: all but those of convolutions and norms.
    * ``ffn``: all but those of feed-forward networks (``ffn`` or ``mlp`` in the name),
      in which mixtures of experts have their experts (Switch Transformer, arXiv
      2101.03961; V-MoE, arXiv 2106.05974), and of norms.
    * ``shared_stem``: those of the backbone's first stage and of single layers that
      follow it, as group='stage' names them: what every image passes first.

    Which there are is our choice.

    Args:
        module: A stock network, or a ``ModuleDict`` of some.
        preset: The preset.

    Returns:
        Names of parameters.
    """
    if preset == "shared_stem":
        return _stem(module)
    keeps: dict[str, Callable[[nn.Module, str], bool]] = {
        "default": lambda module, name: True,
        "conv": _is_in_convolution,
        "ffn": _is_in_feed_forward,
    }
    keep = keeps[preset]
    return frozenset(
        name for name, _ in module.named_parameters() if not keep(module, name)
    )


def _is_in_convolution(module: nn.Module, name: str) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    weight = getattr(owner, "weight", None)
    # In any number of dimensions, deformable ones of MMCV too.
    return is_norm(owner) or (isinstance(weight, Tensor) and weight.dim() >= 3)


def _is_in_feed_forward(module: nn.Module, name: str) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return is_norm(owner) or any(
        part.startswith(("ffn", "mlp")) for part in name.split(".")
    )


def _stem(module: nn.Module) -> frozenset[str]:
    backbone = dict(module.named_children()).get(_BACKBONE, module)
    prefix = "" if backbone is module else f"{_BACKBONE}."
    modules = dict(backbone.named_modules())
    stem: set[str] = set()
    stages: set[str] = set()
    for name, _ in backbone.named_parameters():
        stage = stage_of(backbone, name)
        # The network's own parameters, such as a class token, are of no stage.
        if stage not in modules:
            continue
        if stages and stage not in stages and any(modules[stage].children()):
            break
        stages.add(stage)
        stem.add(prefix + name)
    return frozenset(stem)
