# Does STD-CL help once the encoder fits its training set? As in the ablation,
# but each sequence five times in an epoch, as published.
_base_ = '_base_/training_views.py'

about = ('plain against STD-CL in trainings five times as long, NW-UCLA, '
         'joint stream, a quarter of the width, tested on subjects held out '
         'of the training views')

options = {
    'train_dataloader.dataset.times': 5,
    'train_cfg.val_interval': 5,
    'default_hooks.diagnosis.type': 'ContrastDiagnosisHook',
}


def _weighted(weight):
    return dict(encoder='stgcn', against='plain', seeds=3, options={
        'model.cls_head.spatial_weight': weight,
        'model.cls_head.temporal_weight': weight})


arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=3),
    'weights-0.5': _weighted(0.5),
    'weights-0.1': _weighted(0.1),
}
