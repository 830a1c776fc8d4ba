"""First values of the bank and of the tasks' own parameters."""

from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from mmengine.config import ConfigDict
from torch import Tensor, nn

from gppf_mm.utils.messages import check_mapping, check_names, check_number

from .network import LegoNetwork
from .parts import PartPaths
from .pretrained import read_pretrained
from .stock_values import copy_values, draw_values, own_names

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
    taken: Mapping[str, Collection[str]] | None = None,
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
            bare state dict of the backbone, torchvision's too. A part of which it
            has nothing is initialised as without it. Or a list of up to K files, which
            units take in turn: unit i the file i modulo their number. What is shared
            takes the first; what a task has of its own, the file of the unit that
            weighs most in its route there (our choice). Defaults to None.
        taken: After a transfer, which of their own values the tasks have taken over, by
            the bank's names. They stay, as does the bank, which has all of its values,
            and pretrained weights of a recipe that would be for these alone are not
            read. Defaults to None, no transfer.

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
    parts = _parts(*files)
    bank = network.bank
    names = {*bank.lego_names, *bank.shared_names, *network.statistics.names}
    if taken is not None:
        for task, model in tasks.items():
            known = taken.get(task, ())
            missing = own_names(model, paths[task]) - set(known)
            if missing:
                spared = _parts(names) - _parts(missing)
                values = draw_values(task_cfgs[task], paths[task], parts, spared)
                own = _pretrained(values, files, network.leading_units(task))
                copy_values(values | own, model, paths[task], known)
        return
    first: dict[str, Tensor] = {}
    sources = []
    for task, model in tasks.items():
        values = draw_values(task_cfgs[task], paths[task], parts)
        new = {name: values[name] for name in values.keys() & (names - first.keys())}
        if new:
            sources.append(task)
        first |= new
        own = _pretrained(values, files, network.leading_units(task))
        copy_values(values | own, model, paths[task])
    starts = files or [{}]
    draws: list[State] = [ChainMap(file, first) for file in starts]
    if units == "independent" and not all(names <= file.keys() for file in starts):
        del draws[1:]
        for index in range(1, bank.num_units):
            again = [
                draw_values(task_cfgs[task], paths[task], parts) for task in sources
            ]
            draws.append(ChainMap(starts[index % len(starts)], *again))
    network.fill(draws, perturbation)


def _parts(*names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for some in names for name in some}


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
