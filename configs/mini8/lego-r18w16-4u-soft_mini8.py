# The eight tasks over a ResNet-18 twice as wide: 16 to 128 channels.
_base_ = 'lego-r18w8-4u-soft_mini8.py'

resnet18 = dict(stem_channels=16, base_channels=16)
detector = dict(backbone=resnet18, neck=dict(in_channels=[32, 64, 128]))
segmentor = dict(backbone=resnet18, decode_head=dict(in_channels=128))
classifier = dict(backbone=resnet18, head=dict(in_channels=128))

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
