"""Routers: which units a task activates, by task and routing group."""

from .base import BaseRouter
from .fixed import FixedRouter
from .gumbel import GumbelTopKRouter
from .learned import LearnedRouter
from .soft import SoftRouter
from .topk import TopKRouter

__all__ = [
    "BaseRouter",
    "FixedRouter",
    "GumbelTopKRouter",
    "LearnedRouter",
    "SoftRouter",
    "TopKRouter",
]
