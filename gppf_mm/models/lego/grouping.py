"""Routing groups: which parameters take their units from one routing decision."""

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
    find = {"layer": _layer, "block": _block, "stage": _stage}[by]
    return {name: find(module, name) for name, _ in module.named_parameters()}


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


def _stage(module: nn.Module, name: str) -> str:
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
