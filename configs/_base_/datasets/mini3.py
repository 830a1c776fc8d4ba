# Three small real sets, laid out as docs/en/datasets.md says: BCCD (detection),
# CamVid (segmentation), CIFAR-10 (classification).
data_root = 'data/'

# detection: BCCD, 640x480 at half size, COCO json
det_dataset = dict(
    _scope_='mmdet',
    type='CocoDataset',
    data_root=data_root + 'bccd/',
    metainfo=dict(
        classes=('RBC', 'WBC', 'Platelets'),
        palette=[(220, 20, 60), (30, 60, 200), (240, 180, 30)]))
det_scale = (320, 240)
det_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=det_scale, keep_ratio=True),
    dict(
        type='RandomFlip',
        prob=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs')
]
det_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=det_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]

# segmentation: CamVid, 320x240, PNG masks
seg_dataset = dict(
    _scope_='mmseg',
    type='BaseSegDataset',
    data_root=data_root + 'camvid/',
    metainfo=dict(
        classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree',
                 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128],
                 [60, 40, 222], [128, 128, 0], [192, 128, 128], [64, 64, 128],
                 [64, 0, 128], [64, 64, 0], [0, 128, 192]]))
seg_crop_size = (160, 160)
seg_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(320, 240),
        ratio_range=(0.75, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=seg_crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')
]
seg_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    # After Resize, for the annotation needs no resizing.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]

# classification: CIFAR-10, 32x32 at twice the size, class folders
cls_dataset = dict(
    _scope_='mmpretrain',
    type='CustomDataset',
    data_root=data_root + 'cifar10/',
    metainfo=dict(
        classes=('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog',
                 'frog', 'horse', 'ship', 'truck')))
cls_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=64),
    dict(type='PackInputs')
]
cls_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=64),
    dict(type='PackInputs')
]

train_dataloader = dict(
    det=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(
            **det_dataset,
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=det_train_pipeline)),
    seg=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(
            **seg_dataset,
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            pipeline=seg_train_pipeline)),
    cls=dict(
        batch_size=64,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            **cls_dataset, data_prefix='train', pipeline=cls_train_pipeline)))

val_dataloader = dict(
    det=dict(
        batch_size=8,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            **det_dataset,
            ann_file='annotations/val.json',
            data_prefix=dict(img='val/'),
            test_mode=True,
            pipeline=det_test_pipeline)),
    seg=dict(
        batch_size=8,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            **seg_dataset,
            data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
            test_mode=True,
            pipeline=seg_test_pipeline)),
    cls=dict(
        batch_size=100,
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
        ann_file=data_root + 'bccd/annotations/val.json',
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
