# The settings of the published results (for BlockGCN, none are published) and
# the recommended variant: full width, all epochs, and each sequence five times
# per epoch. The study needs a GPU. To fuse the streams,
# pass the files scores.npz in the work directories to tools/ensemble.py.
about = ('the settings of the published results and the recommended variant '
         'on NW-UCLA, four streams')

threads = 2

# The data are in memory, so the main process loads them without workers. The
# model is validated only after the last epoch.
options = {
    'train_cfg.val_interval': 1000,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}

_streams = ('joint', 'bone', 'joint-motion', 'bone-motion')
# the recommended variant; for HCN, conv5 and its channels
_block = {'model.cls_head.loss_contrast.temperature': 0.1,
          'model.contrast_block': 8}
_conv5 = {**_block, 'model.contrast_block': 1,
          'model.cls_head.decoupler.in_channels': 128}
arms = {}
for _encoder in ('ctrgcn', 'hyperformer', 'blockgcn', '2s-agcn', 'hcn',
                 'stgcn'):
    for _stream in _streams:
        _plain = f'{_encoder}_{_stream}'
        _common = dict(encoder=_encoder, stream=_stream, seeds=4)
        arms[_plain] = dict(_common, stdcl=False)
        arms[f'stdcl-{_plain}'] = dict(_common, against=_plain)
        arms[f'recommended-{_plain}'] = dict(
            _common, against=_plain,
            options=_conv5 if _encoder == 'hcn' else _block)
