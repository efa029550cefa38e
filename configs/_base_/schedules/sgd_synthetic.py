train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=10, val_begin=1, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=True))

param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=10,
        by_epoch=True,
        convert_to_iter_based=True)
]

auto_scale_lr = dict(enable=False, base_batch_size=16)
