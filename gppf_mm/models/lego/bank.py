"""The bank: K units for every lego parameter, one copy of every shared one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class LegoBank(nn.Module):
    """The parameters that the tasks share.

    A *unit* of a layer is one full copy of that layer's weight (and bias). Each is a
    ``Parameter`` of its own, so that a unit which no task activates gets no gradient,
    no optimizer step and no weight decay. Names follow the stock network's:
    ``lego.backbone.layer1.0.conv1.units.3.weight``.

    Args:
        lego: The first value of each lego parameter, by its name in the network. All
            units start from it.
        shared: The first value of each shared parameter, by name.
        num_units: Units per layer, K: one number, or one for each lego parameter by
            name, equal for those of a layer.

    Attributes:
        num_units: Units of the layers that have most.

    Raises:
        ValueError: If a number is less than 1.
    """

    def __init__(
        self,
        lego: Mapping[str, Tensor],
        shared: Mapping[str, Tensor],
        num_units: int | Mapping[str, int],
    ) -> None:
        super().__init__()
        if isinstance(num_units, int):
            num_units = dict.fromkeys(lego, num_units)
        if min(num_units.values(), default=1) < 1:
            raise ValueError(
                f"`lego.num_units` is {min(num_units.values())}; expected at least one "
                "unit a layer."
            )
        self.num_units = max(num_units.values(), default=1)
        self.lego = nn.Module()
        self.shared = nn.Module()
        # A second way to the same modules, by name. A plain dict is not registered.
        self._units: dict[str, nn.ModuleList] = {}
        self._owners: dict[str, nn.Module] = {}
        for name, value in lego.items():
            self._add_units(name, value, num_units[name])
        for name, value in shared.items():
            self._add_shared(name, value)

    def _add_units(self, name: str, value: Tensor, count: int) -> None:
        path, _, leaf = name.rpartition(".")
        layer = _descend(self.lego, path)
        if "units" not in layer._modules:
            layer.units = nn.ModuleList(nn.Module() for _ in range(count))
        for unit in layer.units:
            unit.register_parameter(leaf, nn.Parameter(value.detach().clone()))
        self._units[name] = layer.units

    def _add_shared(self, name: str, value: Tensor) -> None:
        path, _, leaf = name.rpartition(".")
        owner = _descend(self.shared, path)
        owner.register_parameter(leaf, nn.Parameter(value.detach().clone()))
        self._owners[name] = owner

    @property
    def lego_names(self) -> tuple[str, ...]:
        """Names of the lego parameters in the network."""
        return tuple(self._units)

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Names of the shared parameters in the network."""
        return tuple(self._owners)

    def units(self, name: str) -> list[nn.Parameter]:
        """Return the K units of a lego parameter, by its name in the network."""
        leaf = name.rpartition(".")[2]
        return [unit._parameters[leaf] for unit in self._units[name]]

    def unit(self, name: str, index: int) -> nn.Parameter:
        """Return one unit of a lego parameter, at a cost that K does not change."""
        return (
            self._units[name]._modules[str(index)]._parameters[name.rpartition(".")[2]]
        )

    def parameter(self, name: str) -> nn.Parameter:
        """Return a shared parameter, by its name in the network."""
        return self._owners[name].get_parameter(name.rpartition(".")[2])

    @torch.no_grad()
    def fill(
        self, draws: Sequence[Mapping[str, Tensor]], perturbation: float = 0.0
    ) -> None:
        """Give the bank its first values.

        Args:
            draws: From one set of values by name to K sets, which a layer's units take
                in turn: unit i set i modulo their number. Shared parameters take the
                first.
            perturbation: Standard deviation of the Gaussian noise added to each unit
                that starts from the same tensor as another, relative to the root mean
                square of its values, so that they can part. Defaults to 0 (our
                choice).

        Raises:
            ValueError: If there is no set, or more than K.
        """
        sets = len(draws)
        if not 1 <= sets <= self.num_units:
            raise ValueError(
                f"A bank of {self.num_units} units was given {sets} sets of values; "
                "expected from one set to one for each unit."
            )
        for name in self._units:
            units = self.units(name)
            values = [draws[index % sets][name] for index in range(len(units))]
            for unit, value in zip(units, values, strict=True):
                unit.copy_(value)
                if perturbation and sum(value is other for other in values) > 1:
                    scale = perturbation * unit.square().mean().sqrt()
                    unit.add_(torch.randn_like(unit) * scale)
        for name in self._owners:
            self.parameter(name).copy_(draws[0][name])


def _descend(root: nn.Module, path: str) -> nn.Module:
    """Return the module at a dotted path, making plain modules on the way."""
    for part in path.split(".") if path else ():
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root._modules[part]
    return root
