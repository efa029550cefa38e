# How many epochs does a narrow encoder need to fit the training set of
# NW-UCLA? The run with seed s trains without a third of the subjects of the
# training views (fold s modulo 3) and is tested on them. Encoders have a
# quarter of their channels, those of the arms hcn-half half of them.
_base_ = '_base_/quarter_width.py'

about = ('accuracy on the training set after different numbers of epochs on '
         'NW-UCLA, joint stream, a quarter or half of the width, linear '
         'warm-up and cosine schedule')

folds = 3

options = {
    'train_dataloader.dataset.dataset.split': 'fold{fold}_train',
    'val_dataloader.dataset.split': 'fold{fold}_val',
    'test_dataloader.dataset.split': 'fold{fold}_val',
    'train_cfg.val_interval': 10,
}
tests = {'train': {'test_dataloader.dataset.split': 'fold{fold}_train'}}


def _schedule(epochs):
    """Return options: warm-up in the first 5 % of the epochs, then cosine."""
    warm_up = max(1, epochs // 20)
    return {
        'train_cfg.max_epochs': epochs,
        'param_scheduler': [
            dict(type='LinearLR', start_factor=0.01, by_epoch=True,
                 end=warm_up, convert_to_iter_based=True),
            dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True,
                 begin=warm_up, end=epochs, T_max=epochs - warm_up,
                 convert_to_iter_based=True)]}


# options of an arm override those of its encoder, which override the study's
arms = {
    f'{_encoder}_epochs-{_epochs}': dict(
        encoder=_encoder, stdcl=False, seeds=2, options=_schedule(_epochs))
    for _encoder, _epochs in (
        ('stgcn', 60), ('hcn', 60), ('ctrgcn', 60), ('stgcn', 120),
        ('hcn', 120))}
_half = {'model.backbone.base_channels': 32, 'model.cls_head.in_channels': 128,
         'model.cls_head.hidden_channels': 256}
for _epochs in (120, 240):
    arms[f'hcn-half_epochs-{_epochs}'] = dict(
        encoder='hcn', stdcl=False, seeds=1,
        options={**_schedule(_epochs), **_half})
