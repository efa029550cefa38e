_base_ = [
    '../_base_/models/ctrgcn.py', '../_base_/datasets/jhmdb.py',
    '../_base_/schedules/sgd_60e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='jhmdb'),
    backbone=dict(in_channels=2, layout='jhmdb', num_person=1),
    cls_head=dict(num_classes=14))
