# Hyperformer's schedule for NW-UCLA on one GPU, as in the release of STD-CL
_base_ = 'sgd_65e.py'

train_cfg = dict(max_epochs=150)
optim_wrapper = dict(optimizer=dict(lr=0.025, weight_decay=0))
param_scheduler = _base_.param_scheduler
param_scheduler[1].milestones = [110, 120]
