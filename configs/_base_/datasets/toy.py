# The procedural set of tools/dataset_converters/toy.py.
data_root = 'data/toy/'

# detection: 128x128, COCO json
det_dataset = dict(
    _scope_='mmdet',
    type='CocoDataset',
    data_root=data_root + 'det/',
    metainfo=dict(classes=('circle', 'cross', 'square', 'star', 'triangle')))
det_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
det_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]

# segmentation: 96x96, PNG masks
seg_dataset = dict(
    _scope_='mmseg',
    type='BaseSegDataset',
    data_root=data_root + 'seg/',
    img_suffix='.png',
    metainfo=dict(
        classes=('plain', 'checks', 'dots', 'speckle', 'stripes'),
        palette=[[20, 20, 60], [230, 160, 30], [60, 180, 90], [200, 60, 60],
                 [80, 160, 220]]))
seg_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
seg_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    # After Resize, for the annotation needs no resizing.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]

# classification: 64x64, class folders
cls_dataset = dict(
    _scope_='mmpretrain',
    type='CustomDataset',
    data_root=data_root + 'cls/',
    metainfo=dict(
        classes=('circle', 'cross', 'spiral', 'square', 'star', 'triangle')))
cls_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]
cls_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs')
]

train_dataloader = dict(
    det=dict(
        batch_size=16,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(
            **det_dataset,
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=4),
            pipeline=det_train_pipeline)),
    seg=dict(
        batch_size=8,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(
            **seg_dataset,
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            pipeline=seg_train_pipeline)),
    cls=dict(
        batch_size=32,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            **cls_dataset, data_prefix='train', pipeline=cls_train_pipeline)))

val_dataloader = dict(
    det=dict(
        batch_size=25,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            **det_dataset,
            ann_file='annotations/val.json',
            data_prefix=dict(img='val/'),
            test_mode=True,
            pipeline=det_test_pipeline)),
    seg=dict(
        batch_size=25,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            **seg_dataset,
            data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
            test_mode=True,
            pipeline=seg_test_pipeline)),
    cls=dict(
        batch_size=50,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            **cls_dataset,
            data_prefix='val',
            test_mode=True,
            pipeline=cls_test_pipeline)))
test_dataloader = val_dataloader

val_evaluator = dict(
    det=dict(
        _scope_='mmdet',
        type='CocoMetric',
        ann_file=data_root + 'det/annotations/val.json',
        metric='bbox'),
    seg=dict(_scope_='mmseg', type='IoUMetric', iou_metrics=['mIoU']),
    cls=dict(_scope_='mmpretrain', type='Accuracy', topk=(1, )))
test_evaluator = val_evaluator

# The mean of the tasks, in per cent: what `save_best` goes by.
val_cfg = dict(
    type='gppf_mm.MultiTaskValLoop',
    mean=dict(
        det=dict(metric='coco/bbox_mAP_50', scale=100),
        seg=dict(metric='mIoU'),
        cls=dict(metric='accuracy/top1')))
test_cfg = dict(type='gppf_mm.MultiTaskTestLoop', mean=val_cfg['mean'])
