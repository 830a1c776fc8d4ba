# The eight tasks of mini8 over one ResNet-18, an eighth as wide as usual: eight tasks
# shall find it narrow. Heads are small, so that what is learned is learned in it.
resnet18 = dict(
    type='ResNet',
    depth=18,
    stem_channels=8,
    base_channels=8,
    style='pytorch',
    frozen_stages=-1,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=False)
# Group normalisation, because the head's towers are shared by levels of unlike
# statistics.
head_norm = dict(type='GN', num_groups=8, requires_grad=True)
image_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

detector = dict(
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
        in_channels=[16, 32, 64],
        out_channels=32,
        norm_cfg=head_norm,
        num_outs=3),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=3,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        norm_cfg=head_norm,
        # Sides of 12 to 68 pixels. Platelets have about 10, red cells 25 and white
        # ones 45; the toy shapes 20 to 50.
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=1.5,
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
        nms_pre=300,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=60))

segmentor = dict(
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
        in_channels=64,
        in_index=0,
        channels=32,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=11,
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
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, )))

model = dict(
    type='gppf_mm.GPPF',
    lego=dict(
        num_units=4, router=dict(type='gppf_mm.SoftRouter', group='block')),
    tasks=dict(
        cells=detector,
        scene=segmentor,
        objects=classifier,
        tags=dict(
            classifier,
            head=dict(
                type='MultiLabelLinearClsHead',
                num_classes=6,
                in_channels=64,
                loss=dict(
                    type='CrossEntropyLoss', use_sigmoid=True,
                    loss_weight=1.0))),
        count=dict(
            classifier,
            data_preprocessor=dict(
                classifier['data_preprocessor'], num_classes=4),
            head=dict(classifier['head'], num_classes=4)),
        night=segmentor,
        toydet=dict(
            detector, bbox_head=dict(detector['bbox_head'], num_classes=5)),
        toyseg=dict(
            segmentor, decode_head=dict(segmentor['decode_head'], num_classes=5))))

# Each library draws its own task.
visualizers = dict(
    cells=dict(_scope_='mmdet', type='DetLocalVisualizer'),
    scene=dict(_scope_='mmseg', type='SegLocalVisualizer'),
    objects=dict(_scope_='mmpretrain', type='UniversalVisualizer'),
    tags=dict(_scope_='mmpretrain', type='UniversalVisualizer'),
    count=dict(_scope_='mmpretrain', type='UniversalVisualizer'),
    night=dict(_scope_='mmseg', type='SegLocalVisualizer'),
    toydet=dict(_scope_='mmdet', type='DetLocalVisualizer'),
    toyseg=dict(_scope_='mmseg', type='SegLocalVisualizer'))
