# Schedule for JHMDB, chosen on its training clips; see
# runs/studies/jhmdb_schedule.py
train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=60, val_begin=1, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.05, momentum=0.9, weight_decay=0.0005, nesterov=True))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=3, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        by_epoch=True,
        begin=3,
        end=60,
        T_max=57,
        convert_to_iter_based=True)
]

auto_scale_lr = dict(enable=False, base_batch_size=16)
