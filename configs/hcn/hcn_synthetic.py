# The model has a quarter of the published width and trains on a CPU in minutes.
_base_ = [
    '../_base_/models/hcn.py', '../_base_/datasets/synthetic.py',
    '../_base_/schedules/sgd_synthetic.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(base_channels=16, num_frames=32, layout='nw-ucla'),
    cls_head=dict(in_channels=64, feature_size=(2, 2), hidden_channels=128, num_classes=16))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=0.001, weight_decay=0.0001),
    clip_grad=dict(max_norm=8))

# HCN trains for more epochs than the other encoders, but an epoch takes only seconds
train_cfg = dict(max_epochs=30)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=30, T_max=28)
