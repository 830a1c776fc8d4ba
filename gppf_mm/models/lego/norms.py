"""Which layers are normalisations, and where they live."""

import re
from typing import Literal

from torch import nn

NormMode = Literal["private", "shared", "unit"]

# BatchNorm2d, LayerNorm; `_BatchNormXd`, a reverted SyncBN; BatchNormAct2d of timm. Not
# NormedConv2d, a convolution.
_NORM_CLASS = re.compile(r"(Norm(Act)?([123X]d)?|GRN|FRN)$")


def is_norm(layer: nn.Module) -> bool:
    """Return whether a layer is a normalisation, by the name of its class."""
    return _NORM_CLASS.search(type(layer).__name__) is not None
