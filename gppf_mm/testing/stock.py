"""The plain stock model, with which a task is compared."""

import importlib
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from gppf_mm.utils.loading import load_whole
from gppf_mm.utils.seeding import seed_everything

from .outputs import outputs_of
from .result import first_line
from .stages import Skip, StageError
from .training import learn_stock

STOCK_FAILS = "its own library fails too"


def import_library(scope: str, cfg: Config) -> None:
    """Import a library's models and what a config asks to import."""
    importlib.import_module(f"{scope}.models")
    for module in (cfg.get("custom_imports") or {}).get("imports") or []:
        importlib.import_module(module)


def build_stock(cfg: Config) -> nn.Module:
    """Build a stock model as its own library does, without this package's registry."""
    registry = importlib.import_module(f"{cfg.default_scope}.registry").MODELS
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return registry.build(cfg.model)


def skip_what_stock_cannot(
    failure: StageError,
    cfg: Config,
    batch: dict,
    seed: int,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Tell a defect of this package from one of the recipe's own library.

    Args:
        failure: What failed with this package.
        cfg: The task's stock config.
        batch: The inputs of the check.
        seed: The seed of the check.
        state: The weights with which it failed. Defaults to None, first values.

    Raises:
        Skip: If the plain stock model fails in the same stage with the same message.
    """
    stage = str(failure)
    try:
        seed_everything(seed)
        stock = build_stock(cfg)
        if state is not None:
            load_whole(stock, state)
        elif stage != "build":
            stock.init_weights()
        if stage == "loss":
            learn_stock(stock, batch)
        elif stage == "predict":
            outputs_of(stock, None, batch, seed)
    except Exception as error:
        reason, ours = first_line(error), first_line(failure.__cause__ or failure)
        if reason == ours and "memory" not in reason:
            raise Skip(f"{STOCK_FAILS}, in {stage}: {reason}") from error
