# Does STD-CL help if the encoder fits its training set better than in the
# ablation? The runs train on a third of the subjects of the training views and
# are tested on the other subjects. An epoch shows each sequence three times.
# The test view is not used.
_base_ = '_base_/quarter_width.py'

about = ('plain against STD-CL on NW-UCLA, trained on a third of the subjects '
         'of the training views and tested on the others, ST-GCN, joint '
         'stream, a quarter of the width')

folds = 3

options = {
    'train_dataloader.dataset.times': 3,
    'train_dataloader.dataset.dataset.split': 'fold{fold}_val',
    'val_dataloader.dataset.split': 'fold{fold}_train',
    'test_dataloader.dataset.split': 'fold{fold}_train',
    'train_cfg.val_interval': 5,
    'custom_imports.imports': [
        'projects.stdcl', 'runs.studies.parts.contrast_diagnosis'],
    'default_hooks.diagnosis.type': 'ContrastDiagnosisHook',
}


def _arm(**options):
    """Return an arm with the loss weights of the release and more options."""
    return dict(encoder='stgcn', against='plain', seeds=9, options={
        'model.cls_head.decoupler.type': 'AttentiveDecoupler',
        'model.cls_head.spatial_weight': 0.5,
        'model.cls_head.temporal_weight': 0.5,
        **{f'model.{name}': value for name, value in options.items()}})


arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=9),
    'attentive': _arm(),
    # This temperature is common in supervised contrastive learning. The
    # gradients grow with 1 / temperature, so the weights are smaller.
    'temperature-0.1_weights-0.1': _arm(**{
        'cls_head.loss_contrast.temperature': 0.1,
        'cls_head.spatial_weight': 0.1, 'cls_head.temporal_weight': 0.1}),
    # the decoupler of the release, with separate weights per joint and frame
    'projection': _arm(type='STDCLRecognizer', clip_shape=[1, 52, 20, 3], **{
        'cls_head.decoupler.type': 'ProjectionDecoupler'}),
}
