r"""Assembly: a plan and a bank become weights.

Convolution and linear layers are linear in their weight, so mixing the units' weights
equals mixing their outputs, :math:`\sum_i g_i\,(x * U_i) = x * \sum_i g_i U_i`, at the
cost of one pass whatever the number of active units (our choice; Uni-Perceiver-MoE,
arXiv 2206.04674, merges experts the same way).
"""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from .bank import LegoBank
from .plan import Route, RoutingPlan


def assemble(
    bank: LegoBank,
    plan: RoutingPlan,
    groups: Mapping[str, str],
    frozen: frozenset[str] = frozenset(),
    names: Collection[str] | None = None,
) -> dict[str, Tensor]:
    """Make one task's weights.

    Args:
        bank: The units and the shared parameters.
        plan: The task's routes.
        groups: The routing group of each lego parameter, by name.
        frozen: Names of the parameters to which no gradient shall flow. Defaults to
            none.
        names: Names of the parameters that the task has. Defaults to None, all of the
            bank.

    Returns:
        The weight of each parameter, by name, in the autograd graph of the active
        units. A single unit taken as it is comes back itself.
    """
    weights: dict[str, Tensor] = {}
    for name in bank.lego_names:
        if names is not None and name not in names:
            continue
        with torch.no_grad() if name in frozen else nullcontext():
            weights[name] = _mix(bank, name, plan.routes[groups[name]])
    for name in bank.shared_names:
        if names is None or name in names:
            weights[name] = bank.parameter(name)
    return {
        name: value.detach() if name in frozen else value
        for name, value in weights.items()
    }


def _mix(bank: LegoBank, name: str, route: Route) -> Tensor:
    units = [bank.unit(name, index) for index in route.units]
    if route.weights is None:
        return units[0]
    if route.values == (1.0,):
        return _Whole.apply(route.weights[0], units[0])
    mixed = units[0] * route.weights[0]
    for unit, weight in zip(units[1:], route.weights[1:], strict=True):
        mixed = mixed + unit * weight
    return mixed


class _Whole(torch.autograd.Function):
    """A single unit of weight 1, itself and not a copy; the weight learns all the same.

    Routers that choose one unit give it this weight. Multiplying by 1 would write the
    whole network once more in each direction, and keep the copy.
    """

    @staticmethod
    def forward(weight: Tensor, unit: Tensor) -> Tensor:
        return unit.view_as(unit)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        (unit,) = ctx.saved_tensors
        learns = ctx.needs_input_grad[0]
        return (gradient * unit).sum() if learns else None, gradient
