_base_ = [
    '../_base_/models/lego-r18_retinanet-fcn-linear.py',
    '../_base_/datasets/toy.py', '../_base_/schedules/adamw_500i.py',
    '../_base_/default_runtime.py'
]

default_hooks = dict(checkpoint=dict(interval=250))
