_base_ = [
    '../_base_/models/stgcn.py', '../_base_/datasets/ntu120-xset_u100.py',
    '../_base_/schedules/sgd_80e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nturgb+d'),
    backbone=dict(graph_cfg=dict(layout='nturgb+d')),
    cls_head=dict(num_classes=120))
