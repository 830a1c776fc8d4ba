_base_ = 'adamw_90k.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=1000,
        end=180000,
        T_max=179000)
]

train_cfg = dict(max_iters=180000, val_interval=20000)
