# From scratch, so nothing is frozen, whatever the recipes do with a pretrained one.
backbone = dict(
    type='mmpretrain.ResNet',
    depth=50,
    norm_cfg=dict(type='SyncBN', requires_grad=True),
    frozen_stages=-1,
    norm_eval=False)

lego = dict(
    num_units=4,
    router=dict(type='gppf_mm.TopKRouter', k=2, group='block'))
