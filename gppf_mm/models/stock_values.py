"""First values of a stock model, as its library draws them."""

from collections.abc import Collection, Mapping
from copy import deepcopy

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor, nn

from gppf_mm.registry import MODELS

from .parts import PartPaths


class _Quiet(BaseModule):
    """Initialises a model without MMEngine's log line for every parameter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def _dump_init_info(self) -> None:
        pass


def draw_values(
    cfg: ConfigDict,
    paths: PartPaths,
    pretrained_parts: Collection[str],
    spared_parts: Collection[str] = (),
) -> dict[str, Tensor]:
    """Initialise a fresh stock model and return all its values, by the bank's names.

    Args:
        cfg: The model's config.
        paths: Where it has the shared parts.
        pretrained_parts: Parts that get pretrained values: a recipe's own are left out.
        spared_parts: Parts of which no value will be used: they are not initialised.
            Weights for the whole model are read nevertheless, for its heads. Defaults
            to none.
    """
    cfg = deepcopy(cfg)
    for part in cfg.keys() & pretrained_parts:
        cfg.pop("pretrained", None)
        # A neck may be a list of modules, or None.
        modules = cfg[part] if isinstance(cfg[part], list) else [cfg[part]]
        for module in filter(None, modules):
            module.pop("pretrained", None)
            module["init_cfg"] = None
    model = MODELS.build(cfg)
    for part in spared_parts:
        found = paths.find(model, part)
        for module in found.modules() if found is not None else ():
            if isinstance(module, BaseModule):
                # MMEngine passes by what has been initialised.
                module._is_init = True
    _Quiet(model).init_weights()
    return {paths.to_bank(name): value for name, value in model.state_dict().items()}


def own_names(model: nn.Module, paths: PartPaths) -> set[str]:
    """Return the bank's names of the values that a stock model has itself."""
    state = model.state_dict()
    return {paths.to_bank(name) for name in state if torch.is_tensor(state[name])}


@torch.no_grad()
def copy_values(
    values: Mapping[str, Tensor],
    model: nn.Module,
    paths: PartPaths,
    known: Collection[str] = (),
) -> None:
    """Copy a stock model's values as they are.

    ``load_state_dict`` would run the hooks for files of another version or size, which
    leave out or change values (the tables of Swin V2, the statistics of `ConvAWS`).

    Args:
        values: The values by the bank's names.
        model: The model, changed in place.
        paths: Where it has the shared parts.
        known: What stays as it is, by the bank's names. Defaults to nothing.
    """
    for name, value in model.state_dict().items():
        bank_name = paths.to_bank(name)
        if torch.is_tensor(value) and bank_name not in known:
            value.copy_(values[bank_name])
