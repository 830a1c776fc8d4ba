_base_ = 'gppf_lego-r50-4u-top2_8xb36-90k_coco-ade20k-in1k.py'

backbone = dict(
    _delete_=True,
    type='mmpretrain.SwinTransformer',
    arch='tiny',
    drop_path_rate=0.2,
    pad_small_map=True,
    frozen_stages=-1)
