"""Helpers that several parts of the package share."""

from .collect_env import collect_env

__all__ = ["collect_env"]
