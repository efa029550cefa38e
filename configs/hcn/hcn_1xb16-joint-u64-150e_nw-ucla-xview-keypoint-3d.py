_base_ = [
    '../_base_/models/hcn.py', '../_base_/datasets/nw-ucla-xview_u64.py',
    '../_base_/schedules/adam_150e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(layout='nw-ucla'),
    cls_head=dict(num_classes=10))
