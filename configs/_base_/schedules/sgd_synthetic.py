train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=7, val_begin=1, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=True))

# Without a warm-up, some runs confuse the four classes of a limb; see
# docs/get_started/quick_start.md
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        end=2,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        by_epoch=True,
        begin=2,
        end=7,
        T_max=5,
        convert_to_iter_based=True)
]

auto_scale_lr = dict(enable=False, base_batch_size=16)
