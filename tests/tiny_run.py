"""Configs and training runs on a tiny data set in the format of NW-UCLA."""
import copy
import itertools

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from projects.stdcl.catalogue import find_config

_numbers = itertools.count()


def tiny_config(work_dir, ann_file: str, batch_size: int) -> Config:
    """Return a config of a narrow ST-GCN with STD-CL for one epoch."""
    cfg = Config.fromfile(find_config('stgcn', 'nw-ucla-xview', stdcl=True))
    cfg.model.backbone.update(base_channels=4, num_stages=3,
                              inflate_stages=[], down_stages=[3])
    cfg.model.cls_head.in_channels = 4
    cfg.model.cls_head.decoupler.update(reduction=2, out_channels=256)
    cfg.work_dir = str(work_dir)
    cfg.train_dataloader.dataset.times = 1
    cfg.train_dataloader.dataset.dataset.pipeline.pop(0)  # drop RandomView
    cfg.optim_wrapper.optimizer.lr = 0.1
    cfg.model.clip_shape = (1, 52, 20, 3)
    for loader in loaders(cfg):
        loader.update(num_workers=0, persistent_workers=False)
        for step in loader.dataset.get('dataset', loader.dataset).pipeline:
            if 'clip_len' in step:
                step.clip_len = 52
    cfg.train_dataloader.batch_size = batch_size
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger.interval = 1
    return use(cfg, ann_file)


def loaders(cfg: Config) -> list:
    return [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]


def use(cfg: Config, ann_file: str) -> Config:
    for loader in loaders(cfg):
        loader.dataset.get('dataset', loader.dataset).ann_file = ann_file
    return cfg


def plain(cfg: Config) -> Config:
    """Return a copy of a config without STD-CL."""
    cfg = copy.deepcopy(cfg)
    for key in ('decoupler', 'memory_bank', 'loss_contrast',
                'spatial_weight', 'temporal_weight'):
        cfg.model.cls_head.pop(key, None)
    cfg.model.cls_head.type = 'GCNHead'
    cfg.model.type = 'RecognizerGCN'
    cfg.model.pop('clip_shape')
    return cfg


def run(cfg: Config, **changes) -> Runner:
    cfg = copy.deepcopy(cfg)
    cfg.update(changes)
    return Runner.from_cfg(Config({
        'randomness': dict(seed=1), **cfg,
        'experiment_name': f'run-{next(_numbers)}'}))


class Start(Hook):
    """Hook that keeps the state of the model at the start of an epoch."""

    def before_train_epoch(self, runner) -> None:
        self.state = copy.deepcopy(runner.model.state_dict())


def train(cfg: Config, **changes) -> tuple:
    """Train, and return the Runner and the state before the last epoch."""
    runner, start = run(cfg, **changes), Start()
    runner.register_hook(start)
    runner.train()
    return runner, start.state
