_base_ = [
    '../_base_/models/lego-4u-top2_r50.py',
    '../_base_/tasks/8tasks-15m.py', '../_base_/schedules/adamw_180k.py',
    '../_base_/default_runtime.py'
]
