"""Images with one or several labels each."""

from gppf_mm.utils.class_name import class_name
from gppf_mm.utils.walk import find_values

from .common import BATCH_SIZE, InputSpec


def classification_batch(spec: InputSpec) -> dict[str, list]:
    """Make a batch that any classifier or retriever of mmpretrain can learn from.

    Args:
        spec: What the model asks for.

    Returns:
        ``inputs`` and ``data_samples`` (``DataSample``).
    """
    from mmpretrain.structures import DataSample

    several = any(
        "MultiLabel" in class_name(kind) for kind in find_values(spec.model, "type")
    )
    samples = []
    for _ in range(BATCH_SIZE):
        labels = spec.integers(spec.num_classes, (2 if several else 1,)).unique()
        sample = DataSample(metainfo=spec.meta())
        samples.append(sample.set_gt_label(labels))
    return dict(inputs=spec.images(), data_samples=samples)
