"""First values of the bank and of the tasks' own parameters."""

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

UnitInit = Literal["equal", "independent"]
State = Mapping[str, Tensor]


def initialise(
    bank: LegoBank,
    tasks: Mapping[str, nn.Module],
    task_cfgs: Mapping[str, ConfigDict],
    units: UnitInit = "equal",
    perturbation: float = 0.01,
    checkpoint: str | None = None,
) -> None:
    """Initialise the bank's units and each task's own parameters.

    Every task is initialised as its library would: a second stock model is built from
    its config, runs its own ``init_weights`` and hands over its values. The units take
    those of the first task's shared parts (all our choice).

    Args:
        bank: The bank to fill.
        tasks: The stock models whose own parameters are to be set, by task.
        task_cfgs: Their configs, in the same order.
        units: ``'equal'``: all units of a layer start from one draw.
            ``'independent'``: each from a draw of its own. Defaults to ``'equal'``.
        perturbation: Standard deviation of the noise added to each unit, relative to
            the root mean square of its values. Defaults to 0.01.
        checkpoint: A local file with pretrained weights for all units and for the
            tasks' own parameters of the shared parts: an OpenMMLab checkpoint or a
            bare state dict, torchvision's too. Defaults to None.

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
    parts = {name.partition(".")[0] for name in bank.lego_names}
    draws: list[State] = []
    for task, model in tasks.items():
        values = _draw(task_cfgs[task], parts if checkpoint else set())
        for name, value in pretrained.items():
            if name in values and values[name].shape == value.shape:
                values[name] = value
        model.load_state_dict({name: values[name] for name in model.state_dict()})
        draws = draws or [values]
    if units == "independent" and not checkpoint:
        cfg = next(iter(task_cfgs.values()))
        draws += [_draw(cfg, set()) for _ in range(bank.num_units - 1)]
    bank.fill(draws, perturbation)


class _Quiet(BaseModule):
    """Initialises a model without MMEngine's log line for every parameter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def _dump_init_info(self) -> None:
        pass


def _draw(cfg: ConfigDict, pretrained_parts: set[str]) -> dict[str, Tensor]:
    """Initialise a fresh stock model and return all its values, by name.

    A recipe's own pretrained weights are left out for the parts that get others.
    """
    cfg = deepcopy(cfg)
    for part in pretrained_parts:
        cfg.pop("pretrained", None)
        cfg[part].pop("pretrained", None)
        cfg[part].init_cfg = None
    model = MODELS.build(cfg)
    _Quiet(model).init_weights()
    return dict(model.state_dict())


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
    part = names[0].split(".")[0]
    if not any(name.startswith(f"{part}.") for name in state):
        state = {f"{part}.{name}": value for name, value in state.items()}
    for name in names:
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
    parts = tuple(dict.fromkeys(f"{name.split('.')[0]}." for name in names))
    return {name: value for name, value in state.items() if name.startswith(parts)}
