_base_ = [
    '../_base_/models/ctrgcn.py', '../_base_/datasets/ntu120-xsub.py',
    '../_base_/schedules/sgd_65e_ntu.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nturgb+d'),
    backbone=dict(layout='nturgb+d'),
    cls_head=dict(num_classes=120))
