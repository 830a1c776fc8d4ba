"""A procedural data set: three tasks in three visual domains.

====  ==============================  ===========================  =================
task  domain                          label                        read by
====  ==============================  ===========================  =================
det   solid shapes over daylight      boxes, COCO json             mmdet.CocoDataset
      texture, 128x128
seg   patterned regions at night,     PNG masks                    mmseg's
      96x96                                                        BaseSegDataset
cls   ink sketches on paper, 64x64    class folders                mmpretrain's
                                                                   CustomDataset
====  ==============================  ===========================  =================

The domains share a vocabulary of shapes but no colour and no texture. Labels are
exact, because they are taken from the drawn pixels. What the images look like is our
choice.

Example:
    >>> import tempfile
    >>> from gppf_mm.datasets.toy import make_toy, toy_chance
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = make_toy(f'{folder}/toy', num_train=12, num_val=6)
    ...     print(sorted(path.name for path in root.iterdir()))
    ...     print(sorted(toy_chance(root)))
    ['cls', 'det', 'manifest.json', 'seg']
    ['cls', 'det', 'seg']
"""

from .build import make_toy
from .chance import classification_chance, segmentation_chance, toy_chance
from .classification import CLS_CLASSES, CLS_SIZE, render_classification
from .detection import DET_CLASSES, DET_SIZE, Detection, render_detection, tight_box
from .files import staged_dir, write_image
from .segmentation import SEG_CLASSES, SEG_SIZE, render_segmentation

__all__ = [
    "CLS_CLASSES",
    "CLS_SIZE",
    "DET_CLASSES",
    "DET_SIZE",
    "SEG_CLASSES",
    "SEG_SIZE",
    "Detection",
    "classification_chance",
    "make_toy",
    "render_classification",
    "render_detection",
    "render_segmentation",
    "segmentation_chance",
    "staged_dir",
    "tight_box",
    "toy_chance",
    "write_image",
]
