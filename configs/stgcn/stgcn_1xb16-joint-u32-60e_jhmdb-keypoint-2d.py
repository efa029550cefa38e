_base_ = [
    '../_base_/models/stgcn.py', '../_base_/datasets/jhmdb.py',
    '../_base_/schedules/sgd_60e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='jhmdb'),
    backbone=dict(in_channels=2, graph_cfg=dict(layout='jhmdb')),
    cls_head=dict(num_classes=14))
