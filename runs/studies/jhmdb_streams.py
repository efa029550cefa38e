# Does STD-CL also help the ensemble of four streams, on the official splits
# of JHMDB? The run with seed s uses split s plus 1. The recommended arms are
# those of jhmdb_encoders.py. Arms and seeds were fixed before the first run.
_base_ = ['_base_/jhmdb_quarter.py', '_base_/jhmdb_splits.py',
          '_base_/recommended.py']

about = ('four streams and their fusion (2:2:1:1) of plain and recommended '
         'ST-GCN and CTR-GCN on JHMDB, one seed on each of the three splits, '
         'a quarter of the width')

folds, options, tests = _base_._folds, _base_._splits, _base_._tests

_recommended = _base_._recommended
_STREAMS = ('joint', 'bone', 'joint-motion', 'bone-motion')
arms, means = {}, {}
for _encoder in ('ctrgcn', 'stgcn'):
    for _stream in _STREAMS:
        _plain = f'{_encoder}-{_stream}'
        arms[_plain] = dict(
            encoder=_encoder, stream=_stream, stdcl=False, seeds=3)
        arms[f'{_plain}-recommended'] = dict(
            encoder=_encoder, stream=_stream, against=_plain, seeds=3,
            options=_recommended)
    arms[f'{_encoder}-fused'] = dict(
        fuse=[f'{_encoder}-{_stream}' for _stream in _STREAMS], stdcl=False,
        seeds=3)
    arms[f'{_encoder}-fused-recommended'] = dict(
        fuse=[f'{_encoder}-{_stream}-recommended' for _stream in _STREAMS],
        against=f'{_encoder}-fused', seeds=3)
for _stream in (*_STREAMS, 'fused'):
    means[f'{_stream}, mean over the encoders'] = [
        f'{_encoder}-{_stream}-recommended'
        for _encoder in ('ctrgcn', 'stgcn')]
