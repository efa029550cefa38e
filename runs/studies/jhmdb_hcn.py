# Which form of contrast helps HCN, which has no list of ten blocks? As in
# jhmdb_what_helps.py, the runs train on split1_fit and are tested on
# split1_tune, both training clips of split 1. Arms and seeds were fixed before
# the first run.
_base_ = '_base_/jhmdb_clips.py'

about = ('forms of contrast for HCN on JHMDB, joint stream, half of the '
         'width; trained and tested on training clips of split 1')

options = {
    'train_dataloader.dataset.split': 'split1_fit',
    'val_dataloader.dataset.split': 'split1_tune',
    'test_dataloader.dataset.split': 'split1_tune',
    'train_cfg.val_interval': 60,
    # for NonlinearProjectionDecoupler
    'custom_imports.imports': ['projects.stdcl', 'runs.studies.parts.ideas'],
}

# the accuracy on the training set
tests = {'train': {'test_dataloader.dataset.split': 'split1_fit'}}

# written out so that later changes of the defaults have no effect
_published = {
    'decoupler.type': 'ProjectionDecoupler', 'spatial_weight': 0.5,
    'temporal_weight': 0.5, 'loss_contrast.num_positives': 128,
    'loss_contrast.num_negatives': 512, 'loss_contrast.temperature': 0.8}
_low = {**_published, 'loss_contrast.temperature': 0.1}


def _arm(head, **options):
    """Return an arm with entries of the head and further options."""
    return dict(encoder='hcn', against='plain', seeds=6, options={
        **{f'model.cls_head.{name}': value for name, value in head.items()},
        **options})


arms = {
    'plain': dict(encoder='hcn', stdcl=False, seeds=6),
    'published': _arm(_published),
    # the other arms use temperature 0.1
    'temperature-0.1': _arm(_low),
    # before pooling, ReLU and dropout
    'conv5': _arm({**_low, 'decoupler.in_channels': 64},
                  **{'model.contrast_block': 1}),
    'conv6': _arm(_low, **{'model.contrast_block': 2}),
    'nonlinear': _arm({
        **_low, 'decoupler.type': 'NonlinearProjectionDecoupler'}),
    'weights-0.1': _arm({
        **_low, 'spatial_weight': 0.1, 'temporal_weight': 0.1}),
}
