# Does STD-CL help encoders that fit their training set, on the official splits
# of JHMDB? The run with seed s uses split s modulo 3, plus 1. The arms and
# seeds were fixed before the first run. The recommended arms follow when
# jhmdb_what_helps.py, which uses training clips of split 1, is complete.
_base_ = '_base_/jhmdb_quarter.py'

about = ('plain, published and recommended training of six encoders on JHMDB, '
         'three seeds on each of the three splits, a quarter of the width')

folds = ['split1', 'split2', 'split3']

options = {
    'train_dataloader.dataset.split': '{fold}_train',
    'val_dataloader.dataset.split': '{fold}_val',
    'test_dataloader.dataset.split': '{fold}_val',
    'train_cfg.val_interval': 60,
}

_evaluation = [
    dict(type='Standardize'),
    dict(type='RandomSampleFrames', clip_len=32, test_mode=True),
    dict(type='PoseDecode'), dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')]
_clips = dict(type='RandomSampleFrames', clip_len=32, proportion=(0.75, 1),
              num_clips=5)
tests = {
    # the accuracy on the training set
    'train': {'test_dataloader.dataset.split': '{fold}_train'},
    # a mean over five random clips of each sequence, which is less noisy
    'clips': {'randomness.seed': 0, 'test_dataloader.dataset.pipeline': [
        _evaluation[0], _clips, *_evaluation[2:]]},
}

# written out so that later changes of the defaults have no effect
_published = {
    'decoupler.type': 'ProjectionDecoupler', 'spatial_weight': 0.5,
    'temporal_weight': 0.5, 'loss_contrast.num_positives': 128,
    'loss_contrast.num_negatives': 512, 'loss_contrast.temperature': 0.8}
_ENCODERS = ('stgcn', 'ctrgcn', 'hcn', 'blockgcn', '2s-agcn', 'hyperformer')
arms, means = {}, {}
for _encoder in _ENCODERS:
    arms[_encoder] = dict(encoder=_encoder, stdcl=False, seeds=9)
    for _variant, _head in (('published', _published), ):
        arms[f'{_encoder}-{_variant}'] = dict(
            encoder=_encoder, against=_encoder, seeds=9, options={
                f'model.cls_head.{_name}': _value
                for _name, _value in _head.items()})
for _variant in ('published', ):
    means[f'{_variant}, mean over the encoders'] = [
        f'{_encoder}-{_variant}' for _encoder in _ENCODERS]
