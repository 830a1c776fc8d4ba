"""Lego networks as backbones of stock models."""

from .lego_backbone import LegoBackbone

__all__ = ["LegoBackbone"]
