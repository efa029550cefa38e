# The model has only 48 channels and two heads and trains on a CPU in minutes.
_base_ = [
    '../_base_/models/hyperformer.py', '../_base_/datasets/synthetic.py',
    '../_base_/schedules/sgd_synthetic.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(base_channels=48, num_heads=2, layout='nw-ucla', num_person=1),
    cls_head=dict(in_channels=48, num_classes=16))

optim_wrapper = dict(optimizer=dict(lr=0.025, weight_decay=0))
