# A new task over a trained bank, with SIMT: the tasks of configs/toy are kept as they
# are, and BCCD learns a route over their units, norms and a head of its own.
_base_ = [
    '../_base_/models/lego-r18_retinanet-fcn-linear.py',
    '../_base_/datasets/mini3.py', '../_base_/schedules/adamw_500i.py',
    '../_base_/default_runtime.py'
]

model = dict(
    tasks=dict(
        bccd=dict(
            **{
                **_base_.retinanet, 'bbox_head':
                dict(_base_.retinanet.bbox_head, num_classes=3)
            })),
    lego=dict(
        transfer=dict(
            checkpoint='work_dirs/lego-r18-4u-soft_toy-det-seg-cls/iter_500.pth',
            new=dict(bccd=dict(route='det')),
            freeze='units')),
    loss_weights=dict(bccd=1.0))
visualizers = dict(bccd=_base_.visualizers.det)

train_dataloader = dict(_delete_=True, bccd=_base_.train_dataloader.det)
val_dataloader = dict(_delete_=True, bccd=_base_.val_dataloader.det)
val_evaluator = dict(_delete_=True, bccd=_base_.val_evaluator.det)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
mean = dict(bccd=dict(metric='coco/bbox_mAP_50', scale=100))
val_cfg = dict(_delete_=True, type='gppf_mm.MultiTaskValLoop', mean=mean)
test_cfg = dict(_delete_=True, type='gppf_mm.MultiTaskTestLoop', mean=mean)
optim_wrapper = dict(
    constructor='gppf_mm.MultiTaskOptimWrapperConstructor',
    paramwise_cfg=dict(router=dict(lr_mult=10.0)))
