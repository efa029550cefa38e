# HCN's optimizer, with Hyperformer's number of epochs for NW-UCLA
train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=150, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(type='Adam', lr=0.001, weight_decay=0.0001),
    # half of the batch size, as in HCN's public reproduction
    clip_grad=dict(max_norm=8))

param_scheduler = [dict(type='ExponentialLR', by_epoch=True, gamma=0.99)]

auto_scale_lr = dict(enable=False, base_batch_size=16)
