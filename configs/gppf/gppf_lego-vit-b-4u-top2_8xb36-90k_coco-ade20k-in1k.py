_base_ = 'gppf_lego-r50-4u-top2_8xb36-90k_coco-ade20k-in1k.py'

backbone = dict(
    _delete_=True,
    type='mmpretrain.VisionTransformer',
    arch='base',
    img_size=224,
    patch_size=16,
    drop_path_rate=0.1,
    frozen_stages=-1,
    out_type='featmap',
    out_indices=[2, 5, 8, 11])

# A plain transformer has one scale: a pyramid is made of four of its layers.
pyramid = dict(
    type='mmseg.Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5])

tasks = dict(
    coco=dict(
        cfg_options={
            'model.neck': [
                pyramid,
                dict(
                    type='FPN',
                    in_channels=[768, 768, 768, 768],
                    out_channels=256,
                    num_outs=5)
            ]
        }),
    ade20k=dict(cfg_options={'model.neck': pyramid}),
    in1k=dict(backbone=dict(out_indices=[11])))
