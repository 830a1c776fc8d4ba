# The eight tasks over a Swin transformer, a sixth as wide as Swin-T and two blocks a
# stage. The segmentors see its last three stages at a stride of 8, for it has no
# dilation.
_base_ = 'lego-r18w8-4u-soft_mini8.py'

swin = dict(
    _delete_=True,
    type='mmpretrain.SwinTransformer',
    arch=dict(
        embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
    window_size=4,
    drop_path_rate=0.0,
    pad_small_map=True)
detector = dict(
    backbone=dict(**swin, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[32, 64, 128]))
segmentor = dict(
    backbone=dict(**swin, out_indices=(1, 2, 3)),
    decode_head=dict(
        in_channels=[32, 64, 128],
        in_index=[0, 1, 2],
        input_transform='resize_concat'))
classifier = dict(
    backbone=dict(**swin, out_indices=(3, )), head=dict(in_channels=128))

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
