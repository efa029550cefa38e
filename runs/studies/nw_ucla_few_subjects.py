# Does contrast help once the encoder comes to fit its training set, which in
# the ablation it does not? A third of the subjects of the training views, each
# sequence three times in an epoch; the others are tested. The test view is
# not looked at.
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
    'default_hooks.diagnosis.type': 'ContrastDiagnosisHook',
}


def _arm(**options):
    """STD-CL with the release's weights, and more options of the model."""
    return dict(encoder='stgcn', against='plain', seeds=9, options={
        'model.cls_head.spatial_weight': 0.5,
        'model.cls_head.temporal_weight': 0.5,
        **{f'model.{name}': value for name, value in options.items()}})


arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=9),
    'attentive': _arm(),
    # as sharp as supervised contrast is elsewhere, and about as strong as the
    # one above: gradients grow with 1 / temperature
    'temperature-0.1_weights-0.1': _arm(**{
        'cls_head.loss_contrast.temperature': 0.1,
        'cls_head.spatial_weight': 0.1, 'cls_head.temporal_weight': 0.1}),
    # the release's: each joint and each frame has weights of its own
    'projection': _arm(type='STDCLRecognizer', clip_shape=[1, 52, 20, 3], **{
        'cls_head.decoupler.type': 'ProjectionDecoupler'}),
}
