# The settings of the published results: full width, all epochs, and each
# sequence five times per epoch. The study needs a GPU. To fuse the streams,
# pass the files scores.npz in the work directories to tools/ensemble.py.
about = 'the settings of the published results on NW-UCLA, four streams'

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
_methods = [(prefix, encoder)
            for encoder in ('ctrgcn', 'hyperformer', '2s-agcn', 'hcn', 'stgcn')
            for prefix in ('', 'stdcl-')]

arms = {
    f'{prefix}{encoder}_{stream}': dict(
        encoder=encoder, stream=stream, stdcl=bool(prefix), seeds=4,
        **(dict(against=f'{encoder}_{stream}') if prefix else {}))
    for prefix, encoder in _methods for stream in _streams
}
