optim_wrapper = dict(
    type='OptimWrapper',
    constructor='gppf_mm.MultiTaskOptimWrapperConstructor',
    # Fused, because otherwise its many small steps take 5 % of the time on a CPU.
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=10.0))

param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=False,
        begin=100,
        end=1200,
        T_max=1100)
]

train_cfg = dict(
    type='gppf_mm.SIMTTrainLoop', max_iters=1200, val_interval=600)
