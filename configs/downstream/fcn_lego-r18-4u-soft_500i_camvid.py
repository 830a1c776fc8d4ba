# A plain mmseg config: mmseg's own tools train, test and resume it. Its backbone starts
# from the run of configs/toy, with the route of the toy segmentor.
_base_ = [
    '../_base_/models/lego-r18_retinanet-fcn-linear.py',
    '../_base_/datasets/mini3.py'
]
custom_imports = dict(imports=['gppf_mm.models'], allow_failed_imports=False)
default_scope = 'mmseg'

backbone = dict(
    type='gppf_mm.LegoBackbone',
    skeleton=dict(
        _scope_='mmseg',
        **_base_.resnet18,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3, )),
    num_units=4,
    router=dict(type='gppf_mm.SoftRouter', group='block'),
    # Learn a route over frozen units: without `freeze` the units learn too.
    transfer=dict(
        checkpoint='work_dirs/lego-r18-4u-soft_toy-det-seg-cls/iter_500.pth',
        route='seg',
        freeze='units'))
model = dict(
    _delete_=True,
    **{
        **_base_.fcn, 'backbone':
        backbone,
        'data_preprocessor':
        dict(_base_.fcn.data_preprocessor, size=_base_.seg_crop_size),
        'decode_head':
        dict(_base_.fcn.decode_head, num_classes=11)
    })

train_dataloader = dict(_delete_=True, **_base_.train_dataloader.seg)
val_dataloader = dict(_delete_=True, **_base_.val_dataloader.seg)
val_evaluator = dict(_delete_=True, **_base_.val_evaluator.seg)
test_dataloader = val_dataloader
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=250)
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05),
    # A route is a few numbers, which decay would draw towards an even mix.
    paramwise_cfg=dict(
        custom_keys=dict(router=dict(lr_mult=10.0, decay_mult=0.0))),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', by_epoch=False, begin=50, end=500, T_max=450)
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=250))
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
# Units that the plan does not take have no gradient; for `dist_train.sh`.
find_unused_parameters = True
