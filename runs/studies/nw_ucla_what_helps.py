# Do the best three arms of jhmdb_what_helps.py also help on NW-UCLA? The run
# with seed s trains without a third of the subjects of the training views
# (fold s modulo 3) and is tested on them. With 120 epochs, ST-GCN fits 96 % of
# its training set (nw_ucla_fit.py). Arms and seeds were fixed before the first
# run.
_base_ = '_base_/quarter_width.py'

about = ('the best arms of jhmdb_what_helps on NW-UCLA, ST-GCN and CTR-GCN, '
         'joint stream, a quarter of the width, 120 epochs; trained and '
         'tested on folds of the training views')

folds = 3

# linear warm-up in the first 5 % of the epochs, then cosine
_EPOCHS, _WARM_UP = 120, 6
options = {
    'train_dataloader.dataset.dataset.split': 'fold{fold}_train',
    'val_dataloader.dataset.split': 'fold{fold}_val',
    'test_dataloader.dataset.split': 'fold{fold}_val',
    'train_cfg.val_interval': _EPOCHS,
    # for NonlinearProjectionDecoupler
    'custom_imports.imports': ['projects.stdcl', 'runs.studies.parts.ideas'],
}
_schedule = {
    'train_cfg.max_epochs': _EPOCHS,
    'param_scheduler': [
        dict(type='LinearLR', start_factor=0.01, by_epoch=True,
             end=_WARM_UP, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True,
             begin=_WARM_UP, end=_EPOCHS, T_max=_EPOCHS - _WARM_UP,
             convert_to_iter_based=True)]}
tests = {'train': {'test_dataloader.dataset.split': 'fold{fold}_train'}}

# STD-CL at temperature 0.1; written out so that later changes of the defaults
# have no effect
_head = {
    'decoupler.type': 'ProjectionDecoupler', 'spatial_weight': 0.5,
    'temporal_weight': 0.5, 'loss_contrast.num_positives': 128,
    'loss_contrast.num_negatives': 512, 'loss_contrast.temperature': 0.1}
_stdcl = {f'model.cls_head.{name}': value for name, value in _head.items()}
_DECOUPLER = 'model.cls_head.decoupler.type'
_variants = {
    'block-8': {'model.contrast_block': 8},
    'attentive': {_DECOUPLER: 'AttentiveDecoupler'},
    'nonlinear': {_DECOUPLER: 'NonlinearProjectionDecoupler'}}

arms, means = {}, {}
for _encoder in ('stgcn', 'ctrgcn'):
    arms[_encoder] = dict(
        encoder=_encoder, stdcl=False, seeds=3, options=_schedule)
    for _variant, _options in _variants.items():
        arms[f'{_encoder}-{_variant}'] = dict(
            encoder=_encoder, against=_encoder, seeds=3,
            options={**_schedule, **_stdcl, **_options})
for _variant in _variants:
    means[f'{_variant}, mean over the encoders'] = [
        f'stgcn-{_variant}', f'ctrgcn-{_variant}']
