# Hyperformer's schedule for NTU on one GPU, as in the release of STD-CL
_base_ = 'sgd_150e.py'

train_cfg = dict(max_epochs=140)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0004))
auto_scale_lr = dict(base_batch_size=64)
