"""Images with a label, an edge map and a depth for every pixel."""

from mmengine.structures import PixelData

from gppf_mm.utils.walk import find_values

from .common import BATCH_SIZE, InputSpec


def segmentation_batch(spec: InputSpec) -> dict[str, list]:
    """Make a batch that any segmentor or depth estimator of mmseg can learn from.

    Args:
        spec: What the model asks for.

    Returns:
        ``inputs`` and ``data_samples`` (``SegDataSample``).
    """
    from mmseg.structures import SegDataSample

    depth = max((value for value in find_values(spec.model, "max_depth")), default=10)
    samples = []
    for _ in range(BATCH_SIZE):
        sample = SegDataSample(metainfo=spec.meta())
        labels = spec.patches(spec.num_classes, spec.size)[None]
        # PIDNet learns where labels change.
        edges = labels.diff(dim=2, prepend=labels[:, :, :1]).ne(0).long()
        sample.gt_sem_seg = PixelData(data=labels)
        sample.gt_edge_map = PixelData(data=edges)
        sample.gt_depth_map = PixelData(
            data=0.1 + spec.uniform(1, spec.size, spec.size) * (depth - 0.1)
        )
        samples.append(sample)
    return dict(inputs=spec.images(), data_samples=samples)
