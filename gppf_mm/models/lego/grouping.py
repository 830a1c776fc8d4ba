"""Routing groups: which parameters take their units from one routing decision."""

from collections.abc import Collection, Mapping
from typing import Literal, get_args

from torch import nn

Grouping = Literal["layer", "block", "stage"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def group_parameters(module: nn.Module, by: Grouping) -> dict[str, str]:
    """Name the routing group of every parameter of a module.

    The module tree gives the groups, so that no backbone family needs code of its own
    (our choice):

    * ``layer``: the module that owns the parameter.
    * ``block``: the outermost module on the parameter's path that is neither the root
      nor a container, nor a module made of containers and of no layers (a Swin stage,
      say).
    * ``stage``: the root's child, or its grandchild where the child is a
      ``ModuleList`` (``layer2`` of a ResNet, ``stages.2`` of a Swin transformer).

    Args:
        module: A stock network.
        by: How large a group is.

    Returns:
        The group of each parameter, by name.

    Raises:
        ValueError: If ``by`` is none of the three.

    Examples:
        >>> stem, layer1 = nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1))
        >>> net = nn.ModuleDict(dict(stem=stem, layer1=layer1))
        >>> set(group_parameters(net, "block").values()) == {"stem", "layer1.0"}
        True
    """
    if by not in get_args(Grouping):
        raise ValueError(
            f"`lego.router.group` is {by!r}; expected one of {get_args(Grouping)}."
        )
    find = {"layer": _layer, "block": _block, "stage": stage_of}[by]
    return {name: find(module, name) for name, _ in module.named_parameters()}


def follow_layers(
    groups: Mapping[str, str], layers: Collection[str], norms: Collection[str]
) -> dict[str, str]:
    """Let norms that would be a group of their own take the one of the layer before.

    So a norm gets the statistics of what it normalises (our choice). The first norm of
    a network that begins with one takes the group of the layer after it.

    Args:
        groups: The group of each parameter, by name, in the network's order.
        layers: The lego parameters of other layers.
        norms: The lego parameters of norms.

    Returns:
        The group of each parameter, by name.

    Examples:
        >>> groups = dict(conv1="conv1", bn1="bn1", conv2="conv2")
        >>> follow_layers(groups, layers=["conv1", "conv2"], norms=["bn1"])
        {'conv1': 'conv1', 'bn1': 'conv1', 'conv2': 'conv2'}
    """
    routed = dict.fromkeys(groups[name] for name in groups if name in layers)
    before = next(iter(routed), None)
    followed: dict[str, str] = {}
    for name, group in groups.items():
        if group in routed:
            before = group
        elif name in norms and before is not None:
            group = before
        followed[name] = group
    return followed


def _layer(module: nn.Module, name: str) -> str:
    return name.rpartition(".")[0] or name


def _block(module: nn.Module, name: str) -> str:
    path: list[str] = []
    current = module
    for part in name.split(".")[:-1]:
        path.append(part)
        current = current.get_submodule(part)
        if not _is_container(current):
            break
    return ".".join(path) or name


def stage_of(module: nn.Module, name: str) -> str:
    """Name the stage of one parameter, as `group_parameters` does.

    Args:
        module: A stock network, with or without the parameter itself.
        name: The parameter's name in it.
    """
    parts = name.split(".")
    child = getattr(module, parts[0])
    depth = 2 if isinstance(child, nn.ModuleList) else 1
    return ".".join(parts[:depth])


def _is_container(module: nn.Module) -> bool:
    if isinstance(module, _CONTAINERS):
        return True
    # A stage of a Swin transformer or an HRNet, but not a block of a Res2Net, which
    # has convolutions beside its list of them.
    children = list(module.children())
    return any(isinstance(child, nn.ModuleList) for child in children) and not any(
        child._parameters for child in children
    )
