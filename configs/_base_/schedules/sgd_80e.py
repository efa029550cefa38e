# MMAction2's schedule for NTU on eight GPUs: 16 epochs of five passes each
train_cfg = dict(
    type='ReproducibleTrainLoop', max_epochs=16, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005, nesterov=True))

param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=16,
        by_epoch=True,
        convert_to_iter_based=True)
]

# eight GPUs with 16 sequences each
auto_scale_lr = dict(enable=False, base_batch_size=128)
