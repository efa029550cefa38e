# CTR-GCN's schedule for NW-UCLA on one GPU
train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=65, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=True))

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.2,
        by_epoch=True,
        end=5,
        convert_to_iter_based=True),
    dict(type='MultiStepLR', by_epoch=True, milestones=[50], gamma=0.1)
]

auto_scale_lr = dict(enable=False, base_batch_size=16)
