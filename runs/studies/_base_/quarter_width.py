# Settings for training on a CPU: a quarter of the width, each sequence once
# per epoch, no worker processes, and shorter schedules.
threads = 1

options = {
    'train_dataloader.dataset.times': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}

_sgd = {
    'train_cfg.max_epochs': 30,
    'param_scheduler.0.end': 2,
    'param_scheduler.1.milestones': [20, 26],
}
_gcn = {
    **_sgd, 'model.backbone.base_channels': 16,
    'model.cls_head.in_channels': 64
}
encoders = {
    'stgcn': _gcn,
    '2s-agcn': _gcn,
    'ctrgcn': _gcn,
    # two heads instead of nine
    'hyperformer': {
        **_sgd, 'model.backbone.base_channels': 48,
        'model.backbone.num_heads': 2,
        'model.cls_head.in_channels': 48
    },
    # 0.975 ** 60 is about 0.99 ** 150, the total decay in the config
    'hcn': {
        'train_cfg.max_epochs': 60,
        'param_scheduler.0.gamma': 0.975,
        'model.backbone.base_channels': 16,
        'model.cls_head.in_channels': 64,
        'model.cls_head.hidden_channels': 128
    },
}
