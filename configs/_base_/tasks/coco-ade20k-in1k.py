# 36 images in a step on each of 8 GPUs.
tasks = dict(
    coco=dict(
        config='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        batch_size=2),
    ade20k=dict(
        config='mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
        batch_size=2),
    in1k=dict(
        config='mmpretrain::resnet/resnet50_8xb32_in1k.py', batch_size=32))

val_cfg = dict(
    mean=dict(
        coco=dict(metric='coco/bbox_mAP', scale=100),
        ade20k=dict(metric='mIoU'),
        in1k=dict(metric='accuracy/top1')))
test_cfg = val_cfg

# The images of all tasks in one step: 8 GPUs of 36. For `--auto-scale-lr`.
auto_scale_lr = dict(enable=False, base_batch_size=288)
