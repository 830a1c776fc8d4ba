# Sets of one's own in recipe form: a detection set in COCO's format and a
# segmentation set of images and masks, each for a stock recipe of another set.
runner_type = 'gppf_mm.SIMTRunner'
backbone = dict(
    type='mmpretrain.ResNet', depth=50, frozen_stages=-1, norm_eval=False)
lego = dict(
    num_units=4, router=dict(type='gppf_mm.TopKRouter', k=2, group='block'))

# Merged into the recipe's data sets, which keep their type and pipeline.
cells = dict(metainfo=dict(classes=('RBC', 'WBC', 'Platelets')))
cells_train = dict(
    cells, ann_file='annotations/train.json', data_prefix=dict(img='train/'))
cells_val = dict(
    cells, ann_file='annotations/val.json', data_prefix=dict(img='val/'))

# Another type than the recipe's, which would look for Cityscapes' file names.
streets = dict(
    type='BaseSegDataset',
    metainfo=dict(
        classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree',
                 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128],
                 [60, 40, 222], [128, 128, 0], [192, 128, 128], [64, 64, 128],
                 [64, 0, 128], [64, 64, 0], [0, 128, 192]]))
streets_train = dict(
    streets, data_prefix=dict(img_path='img/train', seg_map_path='ann/train'))
streets_val = dict(
    streets, data_prefix=dict(img_path='img/val', seg_map_path='ann/val'))

tasks = dict(
    cells=dict(
        config='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
        data_root='data/bccd/',
        batch_size=2,
        cfg_options={
            'model.bbox_head.num_classes': 3,
            'train_dataloader.dataset': cells_train,
            'val_dataloader.dataset': cells_val,
            'test_dataloader.dataset': cells_val,
            # Metrics read the annotations once more.
            'val_evaluator.ann_file': 'data/bccd/annotations/val.json',
            'test_evaluator.ann_file': 'data/bccd/annotations/val.json'
        }),
    streets=dict(
        config='mmseg::fcn/fcn_r50-d8_4xb2-80k_cityscapes-512x1024.py',
        data_root='data/camvid/',
        batch_size=2,
        cfg_options={
            'model.decode_head.num_classes': 11,
            'model.auxiliary_head.num_classes': 11,
            'train_dataloader.dataset': streets_train,
            'val_dataloader.dataset': streets_val,
            'test_dataloader.dataset': streets_val
        }))
train_cfg = dict(max_iters=10000, val_interval=2000)
