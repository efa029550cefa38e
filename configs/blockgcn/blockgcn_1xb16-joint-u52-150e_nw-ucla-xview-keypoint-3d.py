_base_ = [
    '../_base_/models/blockgcn.py', '../_base_/datasets/nw-ucla-xview.py',
    '../_base_/schedules/sgd_150e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(layout='nw-ucla', num_person=1),
    cls_head=dict(num_classes=10))
