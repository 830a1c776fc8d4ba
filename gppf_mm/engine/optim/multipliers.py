"""What a recipe's own rules make of the learning rate and weight decay."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from gppf_mm.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

_DEFAULT_CONSTRUCTOR = "DefaultOptimWrapperConstructor"


class Multipliers(NamedTuple):
    """Factors on the optimizer's learning rate and weight decay.

    Attributes:
        lr: Factor on the learning rate. Defaults to 1.
        decay: Factor on the weight decay. Defaults to 1.
    """

    lr: float = 1.0
    decay: float = 1.0

    def times(self, other: "Multipliers") -> "Multipliers":
        """Return the product with others."""
        return Multipliers(self.lr * other.lr, self.decay * other.decay)


NEUTRAL = Multipliers()


def read_multipliers(
    model_cfg: Mapping[str, Any],
    constructor: str | None = None,
    paramwise_cfg: Mapping[str, Any] | None = None,
) -> dict[str, Multipliers]:
    """Ask a stock optimizer constructor what it does to each parameter.

    A fresh stock model is given to the recipe's own constructor with an SGD of learning
    rate 1 and weight decay 1, whose parameter groups then hold the factors. So every
    rule of every library holds, with no second version of it here.

    Args:
        model_cfg: The stock model config; its ``_scope_``, or the prefix of its type,
            is the library in which names are looked up.
        constructor: Type of the constructor. Defaults to None, MMEngine's
            ``DefaultOptimWrapperConstructor``.
        paramwise_cfg: Its rules. Defaults to None.

    Returns:
        The factors by parameter name. A parameter that the constructor leaves out of
        the optimizer, as most do with a frozen one, is missing.
    """
    with torch.random.fork_rng(devices=[]):
        model = MODELS.build(deepcopy(model_cfg))
    probe = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1, weight_decay=1))
    cfg = dict(
        type=constructor or _DEFAULT_CONSTRUCTOR,
        optim_wrapper_cfg=probe,
        paramwise_cfg=deepcopy(paramwise_cfg),
    )
    with DefaultScope.overwrite_default_scope(_scope(model_cfg)), _quiet():
        optimizer = OPTIM_WRAPPER_CONSTRUCTORS.build(cfg)(model).optimizer
    found = {
        id(parameter): Multipliers(group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return {
        name: found[id(parameter)]
        for name, parameter in model.named_parameters()
        if id(parameter) in found
    }


def _scope(model_cfg: Mapping[str, Any]) -> str | None:
    prefix, dot, _ = str(model_cfg.get("type", "")).rpartition(".")
    return model_cfg.get("_scope_") or (prefix if dot else None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the line that the constructors log for every parameter."""
    logger = MMLogger.get_current_instance()
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled
