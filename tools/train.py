"""Train a skeleton action recognizer.

Takes the options of MMAction2's own tools/train.py; see --help.
"""
import argparse
import os
import os.path as osp
import sys

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

import projects.stdcl  # noqa: F401  repairs the stack
from projects.stdcl.utils.config_check import (
    checked,
    key_value,
    load_config,
)
from projects.stdcl.utils.input_error import end_cleanly

REQUIRED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')

EXAMPLES = '''examples:
  python tools/train.py configs/stdcl/stdcl-stgcn_synthetic.py
  python tools/train.py CONFIG --resume               go on after a stop
  python tools/train.py CONFIG --cfg-options train_cfg.max_epochs=30 \\
      train_dataloader.dataset.times=1
  bash tools/dist_train.sh CONFIG 8                   on 8 GPUs

Paths in a config (data/..., work_dirs/...) are relative to the working
directory.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train a skeleton action recognizer.', epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: '
        'work_dir of the config, else work_dirs/<name of the config>')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='resume from this checkpoint, or without one from the latest in '
        'the work directory, if there is any')
    parser.add_argument(
        '--amp', action='store_true',
        help='automatic mixed precision: fp16 on a GPU, bf16 on a CPU')
    parser.add_argument('--no-validate', action='store_true',
                        help='do not validate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by total batch size / '
        'auto_scale_lr.base_batch_size')
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument('--diff-rank-seed', action='store_true',
                        help='give each process another seed')
    parser.add_argument('--deterministic', action='store_true',
                        help='let cuDNN choose deterministic algorithms')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, type=key_value,
        metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none', help='who started the processes; default: none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Write the command line's options into the config."""
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
            sys.exit(f'error: {args.config}: --amp replaces optim_wrapper.type'
                     f' OptimWrapper, but the config has {wrapper}.')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            sys.exit(f'error: {args.config}: --auto-scale-lr needs '
                     'auto_scale_lr = dict(base_batch_size=...), the total '
                     'batch size that the learning rate is meant for.')
        cfg.auto_scale_lr.enable = True
    randomness = dict(cfg.get('randomness') or {})
    if args.seed is not None:
        randomness['seed'] = args.seed
    for option in ('diff_rank_seed', 'deterministic'):
        if getattr(args, option):
            randomness[option] = True
    cfg.randomness = {'seed': None, **randomness}
    return cfg


def main() -> None:
    args = parse_args()
    with end_cleanly(args.config):
        cfg = merge_args(load_config(args.config, args.cfg_options), args)
        # a config may bring a runner of its own, as under MMAction2
        build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
        with checked(cfg, REQUIRED):
            build(cfg).train()


if __name__ == '__main__':
    main()
