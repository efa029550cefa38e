"""Test a checkpoint.

Takes the options of MMAction2's own tools/test.py, less those that show
videos; see --help.
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

REQUIRED = ('model', 'test_dataloader', 'test_cfg', 'test_evaluator')

EXAMPLES = '''examples:
  python tools/test.py CONFIG work_dirs/NAME/epoch_65.pth
  python tools/test.py CONFIG CHECKPOINT --dump joint.npz    keep the scores
  bash tools/dist_test.sh CONFIG CHECKPOINT 8                on 8 GPUs

Paths in a config (data/..., work_dirs/...) are relative to the working
directory.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Test a checkpoint.', epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file (*.pth)')
    parser.add_argument(
        '--work-dir', help='folder for the metrics; default: work_dir of the '
        'config, else work_dirs/<name of the config>')
    parser.add_argument(
        '--dump', metavar='SCORES.npz',
        help='write the scores of every sequence, to be fused with '
        'tools/ensemble.py: *.npz has names, labels, logits and '
        "probabilities, *.pkl what MMEngine's DumpResults writes")
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
    if args.dump and not args.dump.endswith(('.npz', '.pkl', '.pickle')):
        parser.error(f'--dump is {args.dump}, expected *.npz, *.pkl or '
                     '*.pickle.')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Write the command line's options into the config."""
    cfg.launcher = args.launcher
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.dump:
        add_dump(cfg, args.dump)
    return cfg


def add_dump(cfg: Config, path: str) -> None:
    """Have the scores written: by our hook, or by MMEngine's metric."""
    if path.endswith('.npz'):
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []),
                            dict(type='ScoreFileHook', path=path)]
        return
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, (list, tuple)):
        evaluators = [evaluators]
    cfg.test_evaluator = [
        *evaluators, dict(type='DumpResults', out_file_path=path)]


def main() -> None:
    args = parse_args()
    with end_cleanly(args.config):
        cfg = merge_args(load_config(args.config, args.cfg_options), args)
        # a config may bring a runner of its own, as under MMAction2
        build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
        with checked(cfg, REQUIRED):
            build(cfg).test()


if __name__ == '__main__':
    main()
