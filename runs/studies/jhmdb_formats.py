# Does the format of the files matter? parts/jhmdb_formats.py converts split 1
# of JHMDB from each format as a user's own data. The annotation files made of
# csv, csv-with-index and pickle equal that of npy, so csv stands for them.
_base_ = '_base_/jhmdb_quarter.py'

about = 'JHMDB from files of different formats, ST-GCN, a quarter of the width'

options = {'train_cfg.max_epochs': 30, 'train_cfg.val_interval': 10,
           'param_scheduler.1.end': 30, 'param_scheduler.1.T_max': 27}

arms = {
    _name: dict(
        encoder='stgcn', seeds=3, against='' if _name == 'npy' else 'npy',
        options={
            **{f'{_loader}_dataloader.dataset.ann_file':
               f'data/jhmdb/{_name}.pkl'
               for _loader in ('train', 'val', 'test')},
            'train_dataloader.dataset.split': 'train',
            'val_dataloader.dataset.split': 'val',
            'test_dataloader.dataset.split': 'val'})
    for _name in ('npy', 'csv', 'int16', 'lost-joints')}
# the confidence is the third channel
arms['lost-joints']['options'].update({
    'model.backbone.in_channels': 3, 'model.clip_shape': (1, 32, 15, 3)})
