"""Test a checkpoint.

The options are those of MMAction2's tools/test.py, except for those that show
videos, plus --stream and --split.
"""
import argparse
import gc
import os

EXAMPLES = '''examples:
  python tools/test.py CONFIG work_dirs/NAME/epoch_65.pth
  python tools/test.py CONFIG CHECKPOINT --stream bone
  python tools/test.py CONFIG CHECKPOINT --dump joint.npz    save the scores
  bash tools/dist_test.sh CONFIG CHECKPOINT 8                on 8 GPUs

Paths in a config (data/..., work_dirs/...) are relative to the working
directory.'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Test a checkpoint.', epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('--work-dir', help='folder for the log and the metrics; default: '
        'work_dir of the config, otherwise work_dirs/<name of the config>; '
        '--stream and --split are part of the default name')
    add('--stream', help='stream that the checkpoint was trained on: joint, '
        'bone, joint-motion or bone-motion; default: the stream of the config '
        '(joint in all configs of this repository)')
    add('--dump', metavar='SCORES.npz', help='file for the scores of all '
        'sequences; *.npz contains names, labels, logits and probabilities, '
        "for tools/ensemble.py; *.pkl contains the output of MMEngine's "
        'DumpResults')
    add('--split', help='split of the data set, without "_train" or "_val", '
        'such as split2 of JHMDB; default: the split of the config')
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
    del args.local_rank  # the other arguments are those of test()
    from projects.stdcl import apis
    from projects.stdcl.utils.input_error import end_cleanly
    gc.freeze()  # garbage collection skips the imported objects
    with end_cleanly(args.config, args):
        apis.test(**vars(args))


if __name__ == '__main__':
    main()
