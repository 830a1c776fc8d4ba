backbone = dict(
    type='mmpretrain.SwinTransformer',
    arch='tiny',
    drop_path_rate=0.2,
    pad_small_map=True,
    frozen_stages=-1)

lego = dict(
    num_units=4,
    router=dict(type='gppf_mm.TopKRouter', k=2, group='block'))
