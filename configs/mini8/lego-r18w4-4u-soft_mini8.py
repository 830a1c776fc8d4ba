# The eight tasks over a ResNet-18 of half the width: 4 to 32 channels.
_base_ = 'lego-r18w8-4u-soft_mini8.py'

resnet18 = dict(stem_channels=4, base_channels=4)
detector = dict(backbone=resnet18, neck=dict(in_channels=[8, 16, 32]))
segmentor = dict(backbone=resnet18, decode_head=dict(in_channels=32))
classifier = dict(backbone=resnet18, head=dict(in_channels=32))

model = dict(
    tasks=dict(
        cells=detector,
        scene=segmentor,
        objects=classifier,
        tags=classifier,
        count=classifier,
        night=segmentor,
        toydet=detector,
        toyseg=segmentor))
