# The model has a quarter of the published width and trains on a CPU in minutes.
_base_ = [
    '../_base_/models/blockgcn.py', '../_base_/datasets/synthetic.py',
    '../_base_/schedules/sgd_synthetic.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nw-ucla'),
    backbone=dict(base_channels=32, layout='nw-ucla', num_person=1),
    cls_head=dict(in_channels=64, num_classes=16))

# BlockGCN starts without connections between joints, so it needs more epochs
# than most other encoders.
train_cfg = dict(max_epochs=14)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=14, T_max=12)
