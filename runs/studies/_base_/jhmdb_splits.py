# The official splits of JHMDB. The run with seed s uses split s modulo 3, plus
# 1. The further test measures the accuracy on the training set.
_folds = ['split1', 'split2', 'split3']
_splits = {
    'train_dataloader.dataset.split': '{fold}_train',
    'val_dataloader.dataset.split': '{fold}_val',
    'test_dataloader.dataset.split': '{fold}_val',
    'train_cfg.val_interval': 60}
_tests = {'train': {'test_dataloader.dataset.split': '{fold}_train'}}
