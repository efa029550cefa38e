# The model has a quarter of the published width and trains on a CPU in minutes.
_base_ = [
    '../_base_/models/stgcn.py', '../_base_/datasets/synthetic.py',
    '../_base_/schedules/sgd_synthetic.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(base_channels=16, graph_cfg=dict(layout='nw-ucla')),
    cls_head=dict(in_channels=64, num_classes=16))
