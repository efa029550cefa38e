# HCN's schedule for NTU, as in its public reproduction
_base_ = 'adam_150e.py'

train_cfg = dict(max_epochs=400)
optim_wrapper = dict(clip_grad=dict(max_norm=32))  # half the batch size
auto_scale_lr = dict(base_batch_size=64)
