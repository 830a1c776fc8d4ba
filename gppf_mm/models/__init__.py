"""Models: the lego network, its routers, and GPPF."""

from .backbones import LegoBackbone
from .gppf import GPPF
from .network import LegoNetwork
from .protocol import TaskModel
from .regularizers import BalanceLoss, EntropyLoss, SharingLoss
from .routers import (
    BaseRouter,
    FixedRouter,
    GumbelTopKRouter,
    LearnedRouter,
    SoftRouter,
    TopKRouter,
)

__all__ = [
    "GPPF",
    "BalanceLoss",
    "BaseRouter",
    "EntropyLoss",
    "FixedRouter",
    "GumbelTopKRouter",
    "LearnedRouter",
    "LegoBackbone",
    "LegoNetwork",
    "SharingLoss",
    "SoftRouter",
    "TaskModel",
    "TopKRouter",
]
