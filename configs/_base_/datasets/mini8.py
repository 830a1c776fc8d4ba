# The eight tasks of tools/dataset_converters/mini8.py; docs/en/mini8.md has the reasons.
# Files have the size that is trained on, and one process reads them faster than it is
# sent them by workers. Validation is on the tune split, the test on the test split.
data_root = 'data/mini8/'

cell_classes = ('RBC', 'WBC', 'Platelets')
toy_shapes = ('circle', 'cross', 'square', 'star', 'triangle')
street_info = dict(
    classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree',
             'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'),
    palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128],
             [60, 40, 222], [128, 128, 0], [192, 128, 128], [64, 64, 128],
             [64, 0, 128], [64, 64, 0], [0, 128, 192]])
pattern_info = dict(
    classes=('plain', 'checks', 'dots', 'speckle', 'stripes'),
    palette=[[20, 20, 60], [230, 160, 30], [60, 180, 90], [200, 60, 60],
             [80, 160, 220]])

# detection: cells 160x120, toydet 128x128
det_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomFlip', prob=[0.3, 0.3],
        direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs')
]
det_test_pipeline = [
    dict(type='LoadImageFromFile'),
    # It says that the scale is 1, which predictions are divided by.
    dict(type='Resize', scale_factor=1.0),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
# segmentation: scene and night 160x120, toyseg 96x96
seg_crop_size = (96, 96)
seg_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=seg_crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
seg_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
# classification: objects 32x32 at twice the size, tags and count 160x120
objects_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=64),
    dict(type='PackInputs')
]
objects_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=64),
    dict(type='PackInputs')
]
image_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]
count_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs')
]
image_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PackInputs')
]

cells = dict(
    _scope_='mmdet',
    type='CocoDataset',
    data_root=data_root + 'cells/',
    metainfo=dict(classes=cell_classes))
toydet = dict(
    _scope_='mmdet',
    type='CocoDataset',
    data_root=data_root + 'toydet/',
    metainfo=dict(classes=toy_shapes))
scene = dict(
    _scope_='mmseg',
    type='BaseSegDataset',
    data_root=data_root + 'scene/',
    metainfo=street_info)
night = dict(
    _scope_='mmseg',
    type='BaseSegDataset',
    data_root=data_root + 'night/',
    metainfo=street_info)
toyseg = dict(
    _scope_='mmseg',
    type='BaseSegDataset',
    data_root=data_root + 'toyseg/',
    img_suffix='.png',
    metainfo=pattern_info)
objects = dict(
    _scope_='mmpretrain',
    type='CustomDataset',
    data_root=data_root + 'objects/',
    metainfo=dict(
        classes=('airplane', 'bird', 'cat', 'deer', 'frog', 'ship')))
count = dict(
    _scope_='mmpretrain',
    type='CustomDataset',
    data_root=data_root + 'count/',
    metainfo=dict(classes=('0-2', '3', '4', '5+')))
tags = dict(
    _scope_='mmpretrain',
    type='MultiLabelDataset',
    data_root=data_root)

train_loader = dict(
    num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True))
test_loader = dict(
    num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
collate = dict(collate_fn=dict(type='default_collate'))

train_dataloader = dict(
    cells=dict(
        **train_loader,
        batch_size=8,
        dataset=dict(
            **cells,
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=det_train_pipeline)),
    scene=dict(
        **train_loader,
        batch_size=8,
        dataset=dict(
            **scene,
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            pipeline=seg_train_pipeline)),
    objects=dict(
        **train_loader,
        **collate,
        batch_size=32,
        dataset=dict(
            **objects,
            ann_file='train.txt',
            data_prefix='train',
            pipeline=objects_train_pipeline)),
    tags=dict(
        **train_loader,
        **collate,
        batch_size=8,
        dataset=dict(
            **tags,
            ann_file='tags/train.json',
            data_prefix=dict(img_path='scene/img/train'),
            pipeline=image_train_pipeline)),
    count=dict(
        **train_loader,
        **collate,
        batch_size=8,
        dataset=dict(
            **count,
            ann_file='train.txt',
            data_prefix='train',
            pipeline=count_train_pipeline)),
    night=dict(
        **train_loader,
        batch_size=8,
        dataset=dict(
            **night,
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            pipeline=seg_train_pipeline)),
    toydet=dict(
        **train_loader,
        batch_size=8,
        dataset=dict(
            **toydet,
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=det_train_pipeline)),
    toyseg=dict(
        **train_loader,
        batch_size=8,
        dataset=dict(
            **toyseg,
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            pipeline=seg_train_pipeline)))

val_dataloader = dict(
    cells=dict(
        **test_loader,
        batch_size=8,
        dataset=dict(
            **cells,
            ann_file='annotations/tune.json',
            data_prefix=dict(img='tune/'),
            test_mode=True,
            pipeline=det_test_pipeline)),
    scene=dict(
        **test_loader,
        batch_size=8,
        dataset=dict(
            **scene,
            data_prefix=dict(img_path='img/tune', seg_map_path='ann/tune'),
            test_mode=True,
            pipeline=seg_test_pipeline)),
    objects=dict(
        **test_loader,
        **collate,
        batch_size=100,
        dataset=dict(
            **objects,
            ann_file='tune.txt',
            data_prefix='tune',
            test_mode=True,
            pipeline=objects_test_pipeline)),
    tags=dict(
        **test_loader,
        **collate,
        batch_size=16,
        dataset=dict(
            **tags,
            ann_file='tags/tune.json',
            data_prefix=dict(img_path='scene/img/tune'),
            test_mode=True,
            pipeline=image_test_pipeline)),
    count=dict(
        **test_loader,
        **collate,
        batch_size=16,
        dataset=dict(
            **count,
            ann_file='tune.txt',
            data_prefix='tune',
            test_mode=True,
            pipeline=image_test_pipeline)),
    night=dict(
        **test_loader,
        batch_size=8,
        dataset=dict(
            **night,
            data_prefix=dict(img_path='img/tune', seg_map_path='ann/tune'),
            test_mode=True,
            pipeline=seg_test_pipeline)),
    toydet=dict(
        **test_loader,
        batch_size=8,
        dataset=dict(
            **toydet,
            ann_file='annotations/tune.json',
            data_prefix=dict(img='tune/'),
            test_mode=True,
            pipeline=det_test_pipeline)),
    toyseg=dict(
        **test_loader,
        batch_size=8,
        dataset=dict(
            **toyseg,
            data_prefix=dict(img_path='img/tune', seg_map_path='ann/tune'),
            test_mode=True,
            pipeline=seg_test_pipeline)))

# The same loaders over the other split.
test_dataloader = dict(
    cells=dict(
        val_dataloader['cells'],
        dataset=dict(
            val_dataloader['cells']['dataset'],
            ann_file='annotations/test.json',
            data_prefix=dict(img='test/'))),
    scene=dict(
        val_dataloader['scene'],
        dataset=dict(
            val_dataloader['scene']['dataset'],
            data_prefix=dict(img_path='img/test', seg_map_path='ann/test'))),
    objects=dict(
        val_dataloader['objects'],
        dataset=dict(
            val_dataloader['objects']['dataset'],
            ann_file='test.txt',
            data_prefix='test')),
    tags=dict(
        val_dataloader['tags'],
        dataset=dict(
            val_dataloader['tags']['dataset'],
            ann_file='tags/test.json',
            data_prefix=dict(img_path='scene/img/test'))),
    count=dict(
        val_dataloader['count'],
        dataset=dict(
            val_dataloader['count']['dataset'],
            ann_file='test.txt',
            data_prefix='test')),
    night=dict(
        val_dataloader['night'],
        dataset=dict(
            val_dataloader['night']['dataset'],
            data_prefix=dict(img_path='img/test', seg_map_path='ann/test'))),
    toydet=dict(
        val_dataloader['toydet'],
        dataset=dict(
            val_dataloader['toydet']['dataset'],
            ann_file='annotations/test.json',
            data_prefix=dict(img='test/'))),
    toyseg=dict(
        val_dataloader['toyseg'],
        dataset=dict(
            val_dataloader['toyseg']['dataset'],
            data_prefix=dict(img_path='img/test', seg_map_path='ann/test'))))

top1 = dict(_scope_='mmpretrain', type='Accuracy', topk=(1, ))
miou = dict(_scope_='mmseg', type='IoUMetric', iou_metrics=['mIoU'])
val_evaluator = dict(
    cells=dict(
        _scope_='mmdet',
        type='CocoMetric',
        ann_file=data_root + 'cells/annotations/tune.json',
        metric='bbox'),
    scene=miou,
    objects=top1,
    tags=dict(_scope_='mmpretrain', type='AveragePrecision'),
    count=top1,
    night=miou,
    toydet=dict(
        _scope_='mmdet',
        type='CocoMetric',
        ann_file=data_root + 'toydet/annotations/tune.json',
        metric='bbox'),
    toyseg=miou)
test_evaluator = dict(
    val_evaluator,
    cells=dict(
        val_evaluator['cells'],
        ann_file=data_root + 'cells/annotations/test.json'),
    toydet=dict(
        val_evaluator['toydet'],
        ann_file=data_root + 'toydet/annotations/test.json'))

# The mean of the tasks, in per cent: what `save_best` goes by.
val_cfg = dict(
    type='gppf_mm.MultiTaskValLoop',
    mean=dict(
        cells=dict(metric='coco/bbox_mAP_50', scale=100),
        scene=dict(metric='mIoU'),
        objects=dict(metric='accuracy/top1'),
        tags=dict(metric='multi-label/mAP'),
        count=dict(metric='accuracy/top1'),
        night=dict(metric='mIoU'),
        toydet=dict(metric='coco/bbox_mAP_50', scale=100),
        toyseg=dict(metric='mIoU')))
test_cfg = dict(type='gppf_mm.MultiTaskTestLoop', mean=val_cfg['mean'])
