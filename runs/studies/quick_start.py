# What accuracy does the quick start reach, and does it vary between seeds?
# ST-GCN has five seeds, with the schedule of the config and with eight epochs
# without a warm-up. The other encoders have one seed each.
about = 'accuracy on synthetic skeletons, one thread'
benchmark = 'synthetic'
threads = 1

_no_warm_up = [dict(
    type='CosineAnnealingLR', eta_min=0, by_epoch=True, T_max=8,
    convert_to_iter_based=True)]

arms = {
    'stgcn': dict(encoder='stgcn', stdcl=False, seeds=5),
    'stdcl-stgcn': dict(encoder='stgcn', against='stgcn', seeds=5),
}
for _name in ('2s-agcn', 'ctrgcn', 'hyperformer', 'blockgcn', 'hcn'):
    arms[_name] = dict(encoder=_name, stdcl=False, seeds=1)
    arms[f'stdcl-{_name}'] = dict(encoder=_name, against=_name, seeds=1)
arms['stgcn_no-warm-up'] = dict(
    encoder='stgcn', stdcl=False, against='stgcn', seeds=5,
    options={'param_scheduler': _no_warm_up, 'train_cfg.max_epochs': 8})
