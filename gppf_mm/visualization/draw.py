"""Drawing a prediction with the visualizer of the task's library."""

from collections.abc import Mapping
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

_STOCK = dict(
    mmdet="DetLocalVisualizer",
    mmseg="SegLocalVisualizer",
    mmpretrain="UniversalVisualizer",
)


def stock_visualizer(scope: str) -> dict[str, Any]:
    """Return the config of a library's own visualizer.

    Args:
        scope: The library's registry scope, such as ``'mmdet'``.

    Returns:
        The config; MMEngine's plain ``Visualizer`` for a library that is not known.
    """
    return dict(_scope_=scope, type=_STOCK.get(scope, "Visualizer"))


def build_visualizer(
    cfg: Mapping[str, Any], name: str, dataset_meta: Mapping[str, Any] | None
) -> Visualizer:
    """Build a task's stock visualizer.

    Args:
        cfg: Its config, with ``_scope_`` or a full type name.
        name: A name of its own: MMEngine keeps visualizers by name.
        dataset_meta: The task's classes and palette.

    Returns:
        The visualizer.

    Raises:
        ValueError: If it cannot draw data samples.
    """
    visualizer = VISUALIZERS.build({**deepcopy(dict(cfg)), "name": name})
    # MMEngine's own has the method, empty.
    draws = type(visualizer).add_datasample is not Visualizer.add_datasample
    if not draws and not _draws_classes(visualizer):
        raise ValueError(
            f"The visualizer {cfg.get('type')!r} cannot draw predictions: it has no "
            "`add_datasample`. Name the one of the task's library in `visualizers`, "
            "such as dict(_scope_='mmdet', type='DetLocalVisualizer')."
        )
    if dataset_meta:
        visualizer.dataset_meta = dict(dataset_meta)
    return visualizer


def draw_sample(
    visualizer: Visualizer,
    image: np.ndarray,
    sample: BaseDataElement,
    out_file: str | Path,
    score_thr: float = 0.3,
) -> None:
    """Draw a prediction, beside the ground truth where the sample has it.

    Args:
        visualizer: The task's stock visualizer.
        image: The image, RGB, uint8, of shape (H, W, 3).
        sample: The stock data sample.
        out_file: The picture to write.
        score_thr: Lowest score of the boxes that are drawn. Defaults to 0.3.
    """
    if _draws_classes(visualizer):
        visualizer.visualize_cls(image, sample, out_file=str(out_file))
        return
    options = {}
    if "pred_score_thr" in signature(visualizer.add_datasample).parameters:
        options["pred_score_thr"] = score_thr
    visualizer.add_datasample(
        Path(out_file).stem, image, sample, out_file=str(out_file), **options
    )


def _draws_classes(visualizer: Visualizer) -> bool:
    """Tell mmpretrain's visualizer, which has a method for each kind of task."""
    return hasattr(visualizer, "visualize_cls")
