_base_ = [
    '../_base_/models/lego-r18w8_mini8.py', '../_base_/datasets/mini8.py',
    '../_base_/schedules/adamw_1200i.py', '../_base_/default_runtime.py'
]

default_hooks = dict(checkpoint=dict(interval=600))
