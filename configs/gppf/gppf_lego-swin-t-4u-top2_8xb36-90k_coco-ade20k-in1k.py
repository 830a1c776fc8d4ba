_base_ = [
    '../_base_/models/lego-4u-top2_swin-t.py',
    '../_base_/tasks/coco-ade20k-in1k.py', '../_base_/schedules/adamw_90k.py',
    '../_base_/default_runtime.py'
]
