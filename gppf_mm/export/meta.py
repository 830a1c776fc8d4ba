"""What a stock checkpoint says about itself, in types that are safe to load."""

from collections.abc import Mapping
from typing import Any

import mmengine
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from gppf_mm.utils.plain import to_plain
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


def _configured_meta(stock: Config) -> dict[str, Any]:
    """Return what the config and the class of the test set know."""
    dataset = (stock.get("test_dataloader") or {}).get("dataset") or {}
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    with DefaultScope.overwrite_default_scope(stock.default_scope):
        kind = dataset.get("type")
        found = DATASETS.get(kind) if isinstance(kind, str) else kind
    return {**getattr(found, "METAINFO", {}), **(dataset.get("metainfo") or {})}
