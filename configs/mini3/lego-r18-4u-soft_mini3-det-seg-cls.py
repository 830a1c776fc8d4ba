_base_ = [
    '../_base_/models/lego-r18_retinanet-fcn-linear.py',
    '../_base_/datasets/mini3.py', '../_base_/schedules/adamw_1000i.py',
    '../_base_/default_runtime.py'
]

width = dict(stem_channels=32, base_channels=32)
model = dict(
    tasks=dict(
        det=dict(
            backbone=width,
            neck=dict(in_channels=[64, 128, 256]),
            bbox_head=dict(num_classes=3)),
        seg=dict(
            data_preprocessor=dict(size=_base_.seg_crop_size),
            backbone=width,
            decode_head=dict(in_channels=256, num_classes=11)),
        cls=dict(
            data_preprocessor=dict(num_classes=10),
            backbone=width,
            head=dict(in_channels=256, num_classes=10))))
