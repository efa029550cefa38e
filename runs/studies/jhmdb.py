# Does STD-CL help on JHMDB, and what is the accuracy of four fused streams?
# The run with seed s uses the official split s + 1.
_base_ = '_base_/jhmdb_quarter.py'

about = ('plain against STD-CL on JHMDB, one seed on each of the three '
         'splits, a quarter of the width')

folds = ['split1', 'split2', 'split3']

options = {
    'train_dataloader.dataset.split': '{fold}_train',
    'val_dataloader.dataset.split': '{fold}_val',
    'test_dataloader.dataset.split': '{fold}_val',
    'train_cfg.val_interval': 10,
}

arms = {
    'stgcn': dict(encoder='stgcn', stdcl=False, seeds=3),
    'stdcl-stgcn': dict(encoder='stgcn', against='stgcn', seeds=3),
    'ctrgcn': dict(encoder='ctrgcn', stdcl=False, seeds=3),
    'stdcl-ctrgcn': dict(encoder='ctrgcn', against='ctrgcn', seeds=3),
}
for _stream in ('bone', 'joint-motion', 'bone-motion'):
    arms[f'stgcn-{_stream}'] = dict(
        encoder='stgcn', stream=_stream, stdcl=False, seeds=3)
    arms[f'stdcl-stgcn-{_stream}'] = dict(
        encoder='stgcn', stream=_stream, against=f'stgcn-{_stream}', seeds=3)
for _name in ('stgcn', 'stdcl-stgcn'):
    arms[f'{_name}-four-streams'] = dict(seeds=3, fuse=[
        _name, *(f'{_name}-{_stream}' for _stream in (
            'bone', 'joint-motion', 'bone-motion'))])
arms['stdcl-stgcn-four-streams']['against'] = 'stgcn-four-streams'
