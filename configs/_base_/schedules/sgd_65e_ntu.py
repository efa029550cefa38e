# CTR-GCN's schedule for NTU on one GPU
_base_ = 'sgd_65e.py'

optim_wrapper = dict(optimizer=dict(weight_decay=0.0004))
param_scheduler = _base_.param_scheduler
param_scheduler[1].milestones = [35, 55]
auto_scale_lr = dict(base_batch_size=64)
