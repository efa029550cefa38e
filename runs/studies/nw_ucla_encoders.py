# Does STD-CL help encoders that fit their training set, on the official split
# of NW-UCLA? The recommended arms were chosen in jhmdb_what_helps.py and
# jhmdb_hcn.py, so no data of this study had a part in the choice of the block.
# The widths and the number of epochs were chosen in nw_ucla_fit.py. Arms and
# seeds were fixed before the first run.
_base_ = '_base_/quarter_width.py'

about = ('plain, published and recommended training of three encoders on '
         'NW-UCLA, official split, joint stream, 120 epochs and a quarter of '
         'the width (HCN: 240 epochs, half of the width)')

options = {'train_cfg.val_interval': 120}


def _schedule(epochs):
    """Return options: warm-up in the first 5 % of the epochs, then cosine."""
    warm_up = epochs // 20
    return {
        'train_cfg.max_epochs': epochs,
        'param_scheduler': [
            dict(type='LinearLR', start_factor=0.01, by_epoch=True,
                 end=warm_up, convert_to_iter_based=True),
            dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True,
                 begin=warm_up, end=epochs, T_max=epochs - warm_up,
                 convert_to_iter_based=True)]}


# the accuracy on the training set
tests = {'train': {'test_dataloader.dataset.split': 'xview_train'}}

# written out so that later changes of the defaults have no effect
_published = {
    'model.cls_head.decoupler.type': 'ProjectionDecoupler',
    'model.cls_head.spatial_weight': 0.5,
    'model.cls_head.temporal_weight': 0.5,
    'model.cls_head.loss_contrast.num_positives': 128,
    'model.cls_head.loss_contrast.num_negatives': 512,
    'model.cls_head.loss_contrast.temperature': 0.8}
_recommended = {
    **_published, 'model.cls_head.loss_contrast.temperature': 0.1}
_half = {'model.backbone.base_channels': 32, 'model.cls_head.in_channels': 128,
         'model.cls_head.hidden_channels': 256}
_block_8 = {'model.contrast_block': 8}
# conv5 has half of the channels of the encoder's output
_conv5 = {'model.contrast_block': 1,
          'model.cls_head.decoupler.in_channels': 64}
_ENCODERS = {'stgcn': (_schedule(120), _block_8),
             'hcn': ({**_schedule(240), **_half}, _conv5),
             'ctrgcn': (_schedule(120), _block_8)}
arms, means = {}, {}
for _encoder, (_training, _block) in _ENCODERS.items():
    arms[_encoder] = dict(encoder=_encoder, stdcl=False, seeds=5,
                          options=_training)
    for _variant, _options in (('published', _published),
                               ('recommended', {**_recommended, **_block})):
        arms[f'{_encoder}-{_variant}'] = dict(
            encoder=_encoder, against=_encoder, seeds=5,
            options={**_training, **_options})
for _variant in ('published', 'recommended'):
    means[f'{_variant}, mean over the encoders'] = [
        f'{_encoder}-{_variant}' for _encoder in _ENCODERS]
