# The training views alone: seed s trains without a third of the subjects,
# fold s modulo 3, and is tested on those.
_base_ = 'quarter_width.py'

folds = 3

options = {
    'train_dataloader.dataset.dataset.split': 'fold{fold}_train',
    'val_dataloader.dataset.split': 'fold{fold}_val',
    'test_dataloader.dataset.split': 'fold{fold}_val',
}
