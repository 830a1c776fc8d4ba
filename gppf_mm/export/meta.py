"""What a stock checkpoint says about itself, in types that are safe to load."""

from collections.abc import Mapping
from typing import Any

import mmengine
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from gppf_mm.version import __version__


def export_meta(
    content: Mapping[str, Any], stock: Config, trained_on: Mapping | None
) -> dict[str, Any]:
    """Collect the ``meta`` of a stock checkpoint.

    Args:
        content: The checkpoint to export from.
        stock: The stock config.
        trained_on: The metadata of the training set, None or empty if unknown.

    Returns:
        Plain types only. ``dataset_meta`` has the classes and the palette, from which
        the stock library's inference functions take their labels.
    """
    meta = content.get("meta") or {}
    return dict(
        dataset_meta=to_plain(trained_on or _configured_meta(stock)),
        cfg=stock.pretty_text,
        iter=int(meta.get("iter", 0)),
        mmengine_version=mmengine.__version__,
        gppf_mm_version=__version__,
    )


def to_plain(value: Any) -> Any:
    """Turn metadata into types that ``torch.load`` reads with ``weights_only``.

    Args:
        value: A number, a string, an array, or mappings and sequences of them.

    Returns:
        The same in Python's own types; anything else as its ``str``.

    Examples:
        >>> to_plain({"classes": ("cat", np.str_("dog")), "palette": np.eye(2)})
        {'classes': ('cat', 'dog'), 'palette': [[1.0, 0.0], [0.0, 1.0]]}
    """
    if isinstance(value, (np.ndarray, np.generic)):
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


def _configured_meta(stock: Config) -> dict[str, Any]:
    """Return what the config and the class of the test set know."""
    dataset = (stock.get("test_dataloader") or {}).get("dataset") or {}
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    with DefaultScope.overwrite_default_scope(stock.default_scope):
        kind = dataset.get("type")
        found = DATASETS.get(kind) if isinstance(kind, str) else kind
    return {**getattr(found, "METAINFO", {}), **(dataset.get("metainfo") or {})}
