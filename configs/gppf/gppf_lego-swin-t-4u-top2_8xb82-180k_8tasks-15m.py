_base_ = 'gppf_lego-r50-4u-top2_8xb82-180k_8tasks-15m.py'

backbone = dict(
    _delete_=True,
    type='mmpretrain.SwinTransformer',
    arch='tiny',
    drop_path_rate=0.2,
    pad_small_map=True,
    frozen_stages=-1)
