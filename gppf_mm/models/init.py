"""First values of the bank and of the tasks' own parameters."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, get_args

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor, nn

from gppf_mm.registry import MODELS
from gppf_mm.utils.messages import check_mapping, check_names, check_number

from .network import LegoNetwork
from .parts import PartPaths
from .pretrained import read_pretrained

UnitInit = Literal["equal", "independent"]
State = Mapping[str, Tensor]


def read_init(where: str, cfg: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a config says about first values, as `initialise` takes it.

    Args:
        where: The config key.
        cfg: What stands there.

    Raises:
        TypeError: If it is no dict.
        ValueError: If a key is unknown.
    """
    cfg = cfg or {}
    check_mapping(where, cfg, "dict(checkpoint='resnet50.pth')")
    check_names(where, cfg, ("units", "perturbation", "checkpoint"))
    return dict(cfg)


def initialise(
    network: LegoNetwork,
    tasks: Mapping[str, nn.Module],
    task_cfgs: Mapping[str, ConfigDict],
    paths: Mapping[str, PartPaths],
    units: UnitInit = "equal",
    perturbation: float = 0.01,
    checkpoint: str | Sequence[str] | None = None,
) -> None:
    """Initialise the bank's units and each task's own parameters.

    Every task is initialised as its library would: a second stock model is built from
    its config, runs its own ``init_weights`` and hands over its values. The units of a
    parameter take those of the first task that has it (all our choice).

    Args:
        network: The network to fill.
        tasks: The stock models whose own parameters are to be set, by task.
        task_cfgs: Their configs, in the same order.
        paths: Where each of them has the shared parts.
        units: ``'equal'``: all units of a layer start from one draw.
            ``'independent'``: each from a draw of its own. Defaults to ``'equal'``.
        perturbation: Standard deviation of the noise added to units that start from
            the same values, relative to the root mean square of these. Defaults to
            0.01.
        checkpoint: A local file with pretrained weights for all units and for the
            tasks' own parameters of the shared parts: an OpenMMLab checkpoint or a
            bare state dict of the first part, torchvision's too. A part of which it
            has nothing is initialised as without it. Or a list of up to K files, which
            units take in turn: unit i the file i modulo their number. What is shared
            takes the first; what a task has of its own, the file of the unit that
            weighs most in its route there (our choice). Defaults to None.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        TypeError: If ``checkpoint`` is neither a path nor a list of paths.
        ValueError: If ``units`` is neither of the two, or a checkpoint cannot be
            loaded, lacks a parameter or has it in another shape.
    """
    if units not in get_args(UnitInit):
        raise ValueError(
            f"`model.lego.init.units` is {units!r}; expected one of "
            f"{get_args(UnitInit)}."
        )
    check_number("model.lego.init.perturbation", perturbation)
    files = read_pretrained(checkpoint, network)
    parts = {name.partition(".")[0] for file in files for name in file}
    bank = network.bank
    names = {*bank.lego_names, *bank.shared_names, *network.statistics.names}
    first: dict[str, Tensor] = {}
    sources = []
    for task, model in tasks.items():
        values = _draw(task_cfgs[task], paths[task], parts)
        new = {name: values[name] for name in values.keys() & (names - first.keys())}
        if new:
            sources.append(task)
        first |= new
        own = _pretrained(values, files, network.leading_units(task))
        _copy_values(values | own, model, paths[task])
    starts = files or [{}]
    draws: list[State] = [ChainMap(file, first) for file in starts]
    if units == "independent" and not all(names <= file.keys() for file in starts):
        del draws[1:]
        for index in range(1, bank.num_units):
            again = [_draw(task_cfgs[task], paths[task], parts) for task in sources]
            draws.append(ChainMap(starts[index % len(starts)], *again))
    network.fill(draws, perturbation)


def _pretrained(
    values: State, files: Sequence[State], units: Mapping[str, int]
) -> dict[str, Tensor]:
    """Return what files have for a task, of each layer that of its leading unit.

    Args:
        values: The task's values by name.
        files: The units' files, taken in turn.
        units: The leading unit by the layer's name.
    """
    found = {}
    for name, value in values.items() if files else ():
        unit = units.get(name.rpartition(".")[0], 0)
        other = files[unit % len(files)].get(name)
        if other is not None and other.shape == value.shape:
            found[name] = other
    return found


@torch.no_grad()
def _copy_values(values: State, model: nn.Module, paths: PartPaths) -> None:
    """Copy a stock model's values as they are.

    ``load_state_dict`` would run the hooks for files of another version or size, which
    leave out or change values (the tables of Swin V2, the statistics of `ConvAWS`).
    """
    for name, value in model.state_dict().items():
        if torch.is_tensor(value):
            value.copy_(values[paths.to_bank(name)])


class _Quiet(BaseModule):
    """Initialises a model without MMEngine's log line for every parameter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def _dump_init_info(self) -> None:
        pass


def _draw(
    cfg: ConfigDict, paths: PartPaths, pretrained_parts: set[str]
) -> dict[str, Tensor]:
    """Initialise a fresh stock model and return all its values, by the bank's names.

    A recipe's own pretrained weights are left out for the parts that get others.
    """
    cfg = deepcopy(cfg)
    for part in pretrained_parts & cfg.keys():
        cfg.pop("pretrained", None)
        # A neck may be a list of modules.
        for module in cfg[part] if isinstance(cfg[part], list) else [cfg[part]]:
            module.pop("pretrained", None)
            module["init_cfg"] = None
    model = MODELS.build(cfg)
    _Quiet(model).init_weights()
    return {paths.to_bank(name): value for name, value in model.state_dict().items()}
