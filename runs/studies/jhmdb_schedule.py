# Which schedule suits JHMDB? The runs train on split1_fit and are tested on
# split1_tune, which together form the training part of split 1. The test part
# of split 1 is not used.
_base_ = '_base_/jhmdb_quarter.py'

about = ('learning rate and number of epochs on JHMDB, plain ST-GCN, joint '
         'stream, a quarter of the width; trained and tested on training '
         'clips of split 1')

options = {
    'train_dataloader.dataset.split': 'split1_fit',
    'val_dataloader.dataset.split': 'split1_tune',
    'test_dataloader.dataset.split': 'split1_tune',
}


def _arm(epochs, lr, seeds=3):
    return dict(encoder='stgcn', stdcl=False, seeds=seeds, options={
        'train_cfg.max_epochs': epochs,
        'optim_wrapper.optimizer.lr': lr,
        # as in the config: warm-up in the first 5 % of the epochs, then cosine
        'param_scheduler.0.end': epochs // 20,
        'param_scheduler.1.begin': epochs // 20,
        'param_scheduler.1.end': epochs,
        'param_scheduler.1.T_max': epochs - epochs // 20,
        'train_cfg.val_interval': 10})


arms = {
    'epochs-60_lr-0.1': _arm(60, 0.1),
    'epochs-60_lr-0.05': _arm(60, 0.05),
    'epochs-60_lr-0.02': _arm(60, 0.02),
    'epochs-20_lr-0.1': _arm(20, 0.1, seeds=1),
    'epochs-120_lr-0.1': _arm(120, 0.1, seeds=1),
}
for _name, _options in arms.items():
    if _name != 'epochs-60_lr-0.1':
        _options['against'] = 'epochs-60_lr-0.1'
