"""What a model says about a batch, in evaluation."""

from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from gppf_mm.utils.seeding import seed_everything

from .compare import tensors_of

_RAW_FIELDS = (".seg_logits", ".pred_depth_map", ".pred_score")


@torch.no_grad()
def outputs_of(model: Any, task: str | None, batch: dict, seed: int) -> dict:
    """Return what a model predicts for a batch, a detector for its first image.

    Predictions may be none, so that raw outputs are added unless they are among them.

    Args:
        model: A multi-task model or a stock model. It is put in evaluation mode.
        task: The task of a multi-task model, None for a stock model.
        batch: A batch as the stock loader yields it; it is left as it is.
        seed: Seed of what a stock model draws, such as masks or first proposals.

    Returns:
        ``'predict'``, unless the model is one that only learns features, and
        ``'tensor'`` or, for want of it, ``'features'``.
    """
    model.eval()
    with model.activate(task) if task else nullcontext(model) as stock:
        seed_everything(seed)
        _lend_prototype(stock)
        if type(stock).__module__.startswith("mmdet."):
            batch = _first_image(batch)
        found = {}
        if not _only_learns(stock):
            found["predict"] = _call(stock, batch, seed, "predict")
            if _is_raw(found["predict"]):
                return found
        for mode in ("tensor", "features"):
            # Not every stock model has them, and predictions may do without.
            try:
                found[mode] = _call(stock, batch, seed, mode)
                break
            except Exception:
                if not found and mode == "features":
                    raise
    return found


def _first_image(batch: dict) -> dict:
    """Return a batch of one image: tests of guided anchors take no more."""
    return {key: values[:1] for key, values in batch.items()}


def _is_raw(predictions: Any) -> bool:
    """Tell whether predictions hold a number for each pixel or class."""
    return any(
        raw in name for name, _ in tensors_of(predictions) for raw in _RAW_FIELDS
    )


def _call(stock: nn.Module, batch: dict, seed: int, mode: str) -> Any:
    seed_everything(seed)
    data = stock.data_preprocessor(deepcopy(batch), False)
    if mode == "features":
        inputs = data["inputs"]
        return stock.extract_feat(inputs[0] if isinstance(inputs, list) else inputs)
    return stock(**data, mode=mode)


def _only_learns(stock: nn.Module) -> bool:
    """Tell whether a stock model has losses and features, but no predictions."""
    return any(kind.__name__ == "BaseSelfSupervisor" for kind in type(stock).mro())


def _lend_prototype(stock: nn.Module) -> None:
    """Give a retriever random images' features to search, in place of its gallery."""
    if hasattr(stock, "prototype") and not isinstance(stock.prototype, torch.Tensor):
        stock.prototype = torch.randn(8, stock.head.in_channels)
