_base_ = [
    '../_base_/models/hcn.py', '../_base_/datasets/jhmdb.py',
    '../_base_/schedules/adam_150e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='jhmdb'),
    backbone=dict(in_channels=2, layout='jhmdb', num_frames=32),
    cls_head=dict(num_classes=14, feature_size=(2, 2)))
