# What does each part of STD-CL contribute, and which defaults are best? The
# study uses only the training views: the run with seed s trains without a
# third of the subjects (fold s modulo 3) and is tested on these subjects.
_base_ = '_base_/quarter_width.py'

about = ('parts of STD-CL on NW-UCLA, joint stream, a quarter of the width, '
         'tested on subjects held out of the training views; ST-GCN, unless '
         'the name of the arm starts with a different encoder')

folds = 3

options = {
    'train_dataloader.dataset.dataset.split': 'fold{fold}_train',
    'val_dataloader.dataset.split': 'fold{fold}_val',
    'test_dataloader.dataset.split': 'fold{fold}_val',
}

# These settings equal those of the authors' release, except for the decoupler.
# They are written out so that later changes of the defaults have no effect.
# The arm "projection" uses the decoupler of the release.
_published = {
    'decoupler.type': 'AttentiveDecoupler',
    'loss_contrast.num_positives': 128,
    'loss_contrast.num_negatives': 512,
    'loss_contrast.temperature': 0.8,
    'spatial_weight': 0.5,
    'temporal_weight': 0.5,
}


def _arm(changes, seeds=3, encoder='stgcn', against='plain', **model):
    """Return an arm: the settings above, with some changes."""
    head = {**_published, **changes}
    return dict(encoder=encoder, against=against, seeds=seeds, options={
        **{f'model.cls_head.{name}': value for name, value in head.items()},
        **{f'model.{name}': value for name, value in model.items()}})


_weak = {'spatial_weight': 0.1, 'temporal_weight': 0.1}

# Three seeds give wide intervals, so candidates for defaults have nine seeds.
arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=9),
    'published': _arm({}, seeds=9),
    'weights-0.1': _arm(_weak, seeds=9),
    'temperature-0.1_weights-0.1': _arm(
        {'loss_contrast.temperature': 0.1, **_weak}, seeds=9),
    'temperature-0.1': _arm({'loss_contrast.temperature': 0.1}, seeds=9),
    'projection': _arm({'decoupler.type': 'ProjectionDecoupler'},
                       seeds=9, type='STDCLRecognizer',
                       clip_shape=[1, 52, 20, 3]),
    'temperature-0.2': _arm({'loss_contrast.temperature': 0.2}),
    'spatial': _arm({'temporal_weight': 0.0}),
    'temporal': _arm({'spatial_weight': 0.0}),
    'weights-1': _arm({'spatial_weight': 1.0, 'temporal_weight': 1.0}),
    'weights-5': _arm({'spatial_weight': 5.0, 'temporal_weight': 5.0}),
    'positives-16': _arm({'loss_contrast.num_positives': 16}),
    'negatives-64': _arm({'loss_contrast.num_negatives': 64}),
    'hard-negatives': _arm({'loss_contrast.negatives': ['hard']}),
    'random-negatives': _arm(
        {'loss_contrast.negatives': ['random']}, seeds=9),
    'batch-only': _arm({'memory_bank.type': 'BatchMemoryBank'}),
    # Does the result depend on the encoder? HCN, unlike ST-GCN, uses no graph.
    'hcn_plain': dict(encoder='hcn', stdcl=False, seeds=6),
    'hcn_published': _arm({}, 6, 'hcn', 'hcn_plain'),
    'hcn_weights-0.1': _arm(_weak, 6, 'hcn', 'hcn_plain'),
}
arms['batch-only']['options']['custom_imports.imports'] = [
    'projects.stdcl', 'runs.studies.parts.ideas']
