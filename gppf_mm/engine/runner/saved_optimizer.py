"""Refusing the state of an optimizer that is another than the run's."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer


def check_optimizer(path: str, saved: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Require that a saved optimizer is the one that is to go on from it.

    Args:
        path: The checkpoint, named in errors.
        saved: The state dict of its optimizer or optimizer wrapper.
        optimizer: That of the run.

    Raises:
        ValueError: If it differs; see `optimizer_difference`.
    """
    difference = optimizer_difference(saved, optimizer)
    if difference is not None:
        raise ValueError(
            f"The checkpoint {path!r} cannot be resumed from: its optimizer is another "
            f"than the {type(optimizer).__name__} of the config: {difference}. Resume "
            "with the `optim_wrapper` of the run, whose config is beside its "
            "checkpoints, or start a new training from its weights by `load_from`."
        )


def optimizer_difference(saved: Mapping[str, Any], optimizer: Optimizer) -> str | None:
    """Say how a saved optimizer differs from the one that is to go on from it.

    PyTorch compares the parameter groups alone and knows no config; of an optimizer of
    another type it takes the settings, which fails, or does not, in the first step.

    Args:
        saved: The state dict of an optimizer or its wrapper.
        optimizer: That of the run.

    Returns:
        The difference, or None. The type is not part of the state: two of equal
        settings, such as Adam and AdamW, do not differ.

    Examples:
        >>> import torch
        >>> weights = [torch.nn.Parameter(torch.zeros(2))]
        >>> saved = torch.optim.SGD(weights, lr=0.1).state_dict()
        >>> "'momentum'" in optimizer_difference(saved, torch.optim.Adam(weights))
        True
        >>> optimizer_difference(saved, torch.optim.SGD(weights, lr=0.2))
    """
    groups: Sequence[Mapping[str, Any]] = saved.get("param_groups") or ()
    if not groups:
        return None
    present = optimizer.param_groups
    # An older or a newer PyTorch has more settings or fewer, not other ones.
    missing = _settings(optimizer.defaults) - _settings(groups[0])
    others = _settings(groups[0]) - _settings(present[0])
    if missing and others:
        return (
            f"it is of another type, with {_join(others)} instead of {_join(missing)}"
        )
    sizes, own = ([len(g["params"]) for g in found] for found in (groups, present))
    if sizes != own:
        return (
            f"it has {_parameters(sizes)}, and that of `optim_wrapper` has "
            f"{_parameters(own)}"
        )
    return None


def _settings(group: Mapping[str, Any]) -> set[str]:
    # Schedulers note the first values of what they change.
    return {k for k in group if k != "params" and not k.startswith("initial_")}


def _join(names: set[str]) -> str:
    *first, last = map(repr, sorted(names))
    return f"{', '.join(first)} and {last}" if first else last


def _parameters(sizes: Sequence[int]) -> str:
    more = ", ..." if len(sizes) > 4 else ""
    return f"{len(sizes)} parameter group(s) of {str(sizes[:4])[1:-1]}{more}"
