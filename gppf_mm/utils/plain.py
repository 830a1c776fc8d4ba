"""Metadata in types that every checkpoint may hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor


def to_plain(value: Any) -> Any:
    """Turn metadata into types that ``torch.load`` reads with ``weights_only``.

    Args:
        value: A number, a string, an array or a tensor, or mappings and sequences of
            them.

    Returns:
        The same in Python's own types; anything else as its ``str``.

    Examples:
        >>> to_plain({"classes": ("cat", np.str_("dog")), "palette": np.eye(2)})
        {'classes': ('cat', 'dog'), 'palette': [[1.0, 0.0], [0.0, 1.0]]}
    """
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_plain(item) for item in value)
    if isinstance(value, (list, set, frozenset)):
        return [to_plain(item) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    return str(value)
