# A detector, a segmentor and a classifier over one bank of ResNet-18 legos. Classes
# and image sizes are those of the toy set; a config for other data overrides them.

# Names and shapes of the backbone's parameters must agree between the tasks; strides,
# dilations and outputs need not. BN is trained, for nothing here is pretrained.
resnet18 = dict(
    type='ResNet',
    depth=18,
    stem_channels=16,
    base_channels=16,
    style='pytorch',
    frozen_stages=-1,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=False)
# Group normalisation, because the head's towers are shared by levels of unlike
# statistics.
head_norm = dict(type='GN', num_groups=8, requires_grad=True)
image_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

retinanet = dict(
    _scope_='mmdet',
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        **image_norm,
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(**resnet18, out_indices=(1, 2, 3)),
    neck=dict(
        type='FPN',
        in_channels=[32, 64, 128],
        out_channels=64,
        norm_cfg=head_norm,
        num_outs=3),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=5,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        norm_cfg=head_norm,
        # Sides of 24 to 136 pixels: objects of about 17 to 190 pixels.
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=3,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[8, 16, 32]),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(
            type='FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        reg_decoded_bbox=True,
        loss_bbox=dict(type='GIoULoss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=500,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100))

fcn = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        **image_norm,
        bgr_to_rgb=True,
        size=(96, 96),
        pad_val=0,
        seg_pad_val=255),
    # Dilated to an output stride of 8.
    backbone=dict(
        **resnet18,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3, )),
    decode_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=0,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=5,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss',
            use_sigmoid=False,
            avg_non_ignore=True,
            loss_weight=1.0)),
    train_cfg=None,
    test_cfg=dict(mode='whole'))

classifier = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor', **image_norm, to_rgb=True, num_classes=6),
    backbone=dict(**resnet18, out_indices=(3, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=6,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, )))

model = dict(
    type='gppf_mm.GPPF',
    lego=dict(
        num_units=4, router=dict(type='gppf_mm.SoftRouter', group='block')),
    tasks=dict(det=retinanet, seg=fcn, cls=classifier),
    loss_weights=dict(det=1.0, seg=1.0, cls=1.0))

# Each library draws its own task.
visualizers = dict(
    det=dict(_scope_='mmdet', type='DetLocalVisualizer'),
    seg=dict(_scope_='mmseg', type='SegLocalVisualizer'),
    cls=dict(_scope_='mmpretrain', type='UniversalVisualizer'))
