_base_ = [
    '../_base_/models/blockgcn.py', '../_base_/datasets/ntu60-xview.py',
    '../_base_/schedules/sgd_140e_blockgcn.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nturgb+d'),
    backbone=dict(layout='nturgb+d'),
    cls_head=dict(num_classes=60))
