"""The tasks of mini8, and the metric that each is judged by."""

METRICS = dict(
    cells="coco/bbox_mAP_50",
    scene="mIoU",
    objects="accuracy/top1",
    tags="multi-label/mAP",
    count="accuracy/top1",
    night="mIoU",
    toydet="coco/bbox_mAP_50",
    toyseg="mIoU",
    heldout="accuracy/top1",
)
TASKS = tuple(task for task in METRICS if task != "heldout")
