"""The three tasks in LibMTL, as near as it comes to them.

LibMTL 1.1.5, its last release, cannot train them by its ``Trainer``: that wants the
device ``cuda:0``, calls a method of loader iterators that PyTorch has dropped, and
takes labels and predictions to be one tensor each, which the boxes and the pyramid of a
detector are not. So the step here is that of ``Trainer.train`` for tasks with inputs of
their own (``multi_input``), written out over LibMTL's architecture and weighting, with
the stock necks and heads as its decoders. One encoder, hence one geometry and one set
of normalisation layers, serves all tasks.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from .options import Options
from .tasks import build_stock, held_by, optimizer_for


def missing() -> str:
    """Return why LibMTL cannot be measured, or an empty string."""
    if find_spec("LibMTL") is None:
        return "LibMTL is not installed: pip install --no-deps LibMTL==1.1.5"
    return ""


class LibMTLStep:
    """A step of hard parameter sharing and equal weights (``HPS``, ``EW``).

    Args:
        cfg: The multi-task config.
        batches: A batch of each task.
        options: Gives the device and the seed.
    """

    def __init__(
        self, cfg: Config, batches: Mapping[str, Mapping], options: Options
    ) -> None:
        architecture, weighting = _import()
        stock = {task: build_stock(cfg, task, options) for task in batches}
        encoder = stock["det"].backbone

        class Model(architecture, weighting):  # type: ignore[misc, valid-type]
            """As LibMTL's ``Trainer`` makes it."""

            def __init__(self, decoders: nn.ModuleDict) -> None:
                super().__init__(
                    list(batches), lambda: encoder, decoders, False, True,
                    torch.device(options.device),
                )  # fmt: skip
                self.init_param()

        self.batches = batches
        self.stock = stock
        for model in stock.values():
            del model.backbone
        decoders = nn.ModuleDict({task: _Decoder(m) for task, m in stock.items()})
        self.model = Model(decoders)
        self.optimizer = optimizer_for(self.model)

    def __call__(self) -> None:
        """Take the step."""
        losses = torch.zeros(len(self.batches), device=self.model.device)
        for index, (task, batch) in enumerate(self.batches.items()):
            data = self.stock[task].data_preprocessor(batch, True)
            decoder = self.model.decoders[task]
            decoder.samples = data["data_samples"]
            losses[index] = self.model(data["inputs"], task)[task]
        self.optimizer.optimizer.zero_grad()
        self.model.backward(losses)
        self.optimizer.optimizer.step()

    def held(self) -> list[Tensor]:
        """List what stays in memory between two steps."""
        # LibMTL clears gradients at the start of the next step: they stay as well.
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return [*held_by(self.model, self.optimizer), *gradients]


class _Decoder(nn.Module):
    """A stock neck and head with the stock loss, from features to a single number.

    Args:
        stock: The stock model, without its backbone.
    """

    def __init__(self, stock: nn.Module) -> None:
        super().__init__()
        self.stock = stock
        self.samples: Any = None

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Return the loss for the present samples."""
        stock = self.stock
        if hasattr(stock, "bbox_head"):
            losses = stock.bbox_head.loss(stock.neck(features), self.samples)
        elif hasattr(stock, "decode_head"):
            losses = stock._decode_head_forward_train(
                stock.neck(features), self.samples
            )
        else:
            losses = stock.head.loss(stock.neck((features[-1],)), self.samples)
        return stock.parse_losses(losses)[0]


def _import() -> tuple[type, type]:
    """Import LibMTL, whose own ResNets look for a module that torchvision dropped."""
    name = "torchvision.models.utils"
    if find_spec(name) is None:
        substitute = ModuleType(name)
        substitute.load_state_dict_from_url = torch.hub.load_state_dict_from_url  # type: ignore[attr-defined]
        sys.modules[name] = substitute
    from LibMTL.architecture import HPS
    from LibMTL.weighting import EW

    return HPS, EW
