"""Train a skeleton action recognizer.

The options are those of MMAction2's tools/train.py plus --stream and --split.
"""
import argparse
import gc
import os

EXAMPLES = '''examples:
  python tools/train.py configs/stdcl/stdcl-stgcn_synthetic.py
  python tools/train.py CONFIG --stream bone
  python tools/train.py CONFIG --resume          resume after an interruption
  python tools/train.py CONFIG --cfg-options optim_wrapper.optimizer.lr=0.05
  bash tools/dist_train.sh CONFIG 8              on 8 GPUs

Paths in a config (data/..., work_dirs/...) are relative to the working
directory.'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Train a skeleton action recognizer.', epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('--work-dir', help='folder for logs and checkpoints; default: '
        'work_dir of the config, otherwise work_dirs/<name of the config>; '
        '--stream and --split are part of the default name')
    add('--stream', help='stream to train on: joint, bone, joint-motion or '
        'bone-motion; default: the stream of the config (joint in all configs '
        'of this repository)')
    add('--split', help='split of the data set, without "_train" or "_val", '
        'such as split2 of JHMDB; default: the split of the config')
    add('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='resume from CHECKPOINT or, if omitted, from the latest one in '
        'the work directory or in out_dir of the checkpoint hook')
    add('--amp', action='store_true', help='train with automatic mixed '
        'precision: float16 on a GPU, bfloat16 on a CPU')
    add('--no-validate', dest='validate', action='store_false',
        help='do not validate during training')
    add('--auto-scale-lr', action='store_true', help='scale the learning rate '
        'by the total batch size divided by auto_scale_lr.base_batch_size')
    add('--seed', type=int, help='random seed; default: that of the config')
    add('--diff-rank-seed', action='store_true',
        help='use a different seed in each process')
    add('--deterministic', action='store_true',
        help='use only deterministic PyTorch algorithms')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none', help='job launcher; default: none')
    add('--local_rank', '--local-rank', type=int, default=0,
        help=argparse.SUPPRESS)
    args = parser.parse_args()
    rank = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(args.local_rank))
    os.environ['LOCAL_RANK'] = '0' if args.launcher == 'none' else (
        os.environ.get('LOCAL_RANK', rank))
    del args.local_rank  # the other arguments are those of train()
    from projects.stdcl.apis import train
    from projects.stdcl.utils.allocator import keep_freed_memory
    from projects.stdcl.utils.input_error import end_cleanly
    gc.freeze()  # garbage collection skips the imported objects
    keep_freed_memory()
    with end_cleanly(args.config, args):
        train(**vars(args))


if __name__ == '__main__':
    main()
