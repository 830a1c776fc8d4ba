"""The eight tasks of mini8, made from three real sets and the toy set.

=======  =========================================  =====================  ==========
task     what                                       from                   metric
=======  =========================================  =====================  ==========
cells    blood cells, detection, 160x120            BCCD                   bbox_mAP_50
count    how many cells there are, 160x120          quarters of BCCD       top-1
scene    streets, segmentation, 160x120             CamVid                 mIoU
tags     which rarer things are in the street       images of ``scene``    mAP
night    streets at night, segmentation, 160x120    CamVid, darkened       mIoU
objects  six classes, 32x32                         CIFAR-10               top-1
toydet   solid shapes, detection, 128x128           the toy set's drawing  bbox_mAP_50
toyseg   patterned regions, segmentation, 96x96     the toy set's drawing  mIoU
=======  =========================================  =====================  ==========

CIFAR-10's other four classes are ``heldout``: a set that no network has seen. Each set
has the splits train, tune (to choose settings by) and test. docs/en/mini8.md has the
reasons. The composition is our choice.
"""

from .build import FRACTIONS, SPLITS, make_mini8
from .cells import CELL_CLASSES, COUNT_BINS, bin_of
from .objects import HELDOUT, OBJECTS
from .streets import TAG_THRESHOLD, TAGS, at_night, tags_of

__all__ = [
    "CELL_CLASSES",
    "COUNT_BINS",
    "FRACTIONS",
    "HELDOUT",
    "OBJECTS",
    "SPLITS",
    "TAGS",
    "TAG_THRESHOLD",
    "at_night",
    "bin_of",
    "make_mini8",
    "tags_of",
]
