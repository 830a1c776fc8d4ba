"""Models: the lego network, its routers, and GPPF."""

from .gppf import GPPF
from .network import LegoNetwork
from .protocol import TaskModel
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
    "BaseRouter",
    "FixedRouter",
    "GumbelTopKRouter",
    "LearnedRouter",
    "LegoNetwork",
    "SoftRouter",
    "TaskModel",
    "TopKRouter",
]
