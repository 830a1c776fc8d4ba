"""First values of the bank and of the tasks' own parameters."""

from collections import ChainMap
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Literal, get_args

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from gppf_mm.registry import MODELS

from .lego import LegoBank
from .parts import PartPaths

UnitInit = Literal["equal", "independent"]
State = Mapping[str, Tensor]


def initialise(
    bank: LegoBank,
    tasks: Mapping[str, nn.Module],
    task_cfgs: Mapping[str, ConfigDict],
    paths: Mapping[str, PartPaths],
    units: UnitInit = "equal",
    perturbation: float = 0.01,
    checkpoint: str | None = None,
) -> None:
    """Initialise the bank's units and each task's own parameters.

    Every task is initialised as its library would: a second stock model is built from
    its config, runs its own ``init_weights`` and hands over its values. The units of a
    parameter take those of the first task that has it (all our choice).

    Args:
        bank: The bank to fill.
        tasks: The stock models whose own parameters are to be set, by task.
        task_cfgs: Their configs, in the same order.
        paths: Where each of them has the shared parts.
        units: ``'equal'``: all units of a layer start from one draw.
            ``'independent'``: each from a draw of its own. Defaults to ``'equal'``.
        perturbation: Standard deviation of the noise added to each unit, relative to
            the root mean square of its values. Defaults to 0.01.
        checkpoint: A local file with pretrained weights for all units and for the
            tasks' own parameters of the shared parts: an OpenMMLab checkpoint or a
            bare state dict of the first part, torchvision's too. A part of which it
            has nothing is initialised as without it. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If ``units`` is neither of the two, or the checkpoint cannot be
            loaded, lacks a parameter or has it in another shape.
    """
    if units not in get_args(UnitInit):
        raise ValueError(
            f"`model.lego.init.units` is {units!r}; expected one of "
            f"{get_args(UnitInit)}."
        )
    pretrained = _read(checkpoint, bank) if checkpoint else {}
    parts = {name.partition(".")[0] for name in pretrained}
    names = {*bank.lego_names, *bank.shared_names}
    first: dict[str, Tensor] = {}
    sources = []
    for task, model in tasks.items():
        values = _draw(task_cfgs[task], paths[task], parts)
        for name, value in pretrained.items():
            if name in values and values[name].shape == value.shape:
                values[name] = value
        _copy_values(values, model, paths[task])
        new = {name: values[name] for name in values.keys() & (names - first.keys())}
        if new:
            sources.append(task)
        first |= new
    draws: list[State] = [first]
    if units == "independent" and not names <= pretrained.keys():
        for _ in range(bank.num_units - 1):
            again = [_draw(task_cfgs[task], paths[task], parts) for task in sources]
            draws.append(ChainMap(pretrained, *again))
    bank.fill(draws, perturbation)


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


def _read(checkpoint: str, bank: LegoBank) -> dict[str, Tensor]:
    """Read pretrained values of the shared parts, by the bank's names."""
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"`model.lego.init.checkpoint` is {checkpoint!r}, which is no file; "
            "expected a local checkpoint. Download it first, or leave the key out."
        )
    try:
        file = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:
        # The bytes of another kind of file lead the unpickler anywhere.
        raise ValueError(
            f"`model.lego.init.checkpoint` is {checkpoint!r}, which PyTorch cannot "
            f"load ({type(error).__name__}: {error}); expected an OpenMMLab checkpoint "
            "or a state dict."
        ) from error
    state = file.get("state_dict", file) if isinstance(file, dict) else {}
    state = {
        str(name).removeprefix("module."): value
        for name, value in state.items()
        if torch.is_tensor(value)
    }
    names = [*bank.lego_names, *bank.shared_names]
    parts = tuple(dict.fromkeys(f"{name.split('.')[0]}." for name in names))
    if not any(name.startswith(parts) for name in state):
        state = {f"{parts[0]}{name}": value for name, value in state.items()}
    # The file of a backbone may have no neck, but not the half of a part.
    present = (parts[0],) + tuple(
        part for part in parts if any(name.startswith(part) for name in state)
    )
    for name in names:
        if not name.startswith(present):
            continue
        expected = (
            bank.units(name)[0] if name in bank.lego_names else bank.parameter(name)
        ).shape
        found = tuple(state[name].shape) if name in state else "nothing"
        if found != tuple(expected):
            raise ValueError(
                f"`model.lego.init.checkpoint` is {checkpoint!r}, which holds {found} "
                f"for {name!r}; expected shape {tuple(expected)}. Use a checkpoint of "
                "the same backbone type, depth and width."
            )
    # The heads of another training stay where they are.
    return {name: value for name, value in state.items() if name.startswith(parts)}
