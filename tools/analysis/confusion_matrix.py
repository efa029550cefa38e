"""Draw the confusion matrix of a checkpoint or of a score file.

tools/test.py also draws it. The arguments have the same names as those of
MMAction2's tools/analysis_tools/confusion_matrix.py.
"""
import argparse
import logging
import tempfile
from pathlib import Path

EXAMPLE = '''example:
  python tools/analysis/confusion_matrix.py CONFIG CHECKPOINT \\
      --show-path confusion.png'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='config file; a score file '
                        'needs none')
    parser.add_argument(
        'ckpt_or_result', help='checkpoint file (*.pth), or score file that '
        'tools/test.py --dump wrote (*.npz)')
    parser.add_argument('--show-path', type=Path, metavar='PICTURE.png',
                        default='confusion.png',
                        help='picture to write; default: confusion.png')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    if args.show_path.suffix != '.png':  # do not overwrite a score file
        parser.error(f'--show-path is {args.show_path}, expected a .png file.')
    scores = args.ckpt_or_result
    if not args.config and not scores.endswith('.npz'):
        parser.error(f'The config is missing before {scores}.')
    if args.cfg_options and scores.endswith('.npz'):
        parser.error(f'--cfg-options do not change the scores in {scores}.')
    from projects.stdcl import apis
    from projects.stdcl.evaluation import confusion, fusion
    from projects.stdcl.utils.input_error import InputError, end_cleanly
    logging.disable(logging.INFO)  # MMEngine logs to stdout
    with end_cleanly(args.config), tempfile.TemporaryDirectory() as folder:
        if not scores.endswith('.npz'):
            scores = f'{folder}/scores.npz'
            apis.test(args.config, args.ckpt_or_result, folder, dump=scores,
                      cfg_options=args.cfg_options)
        record = fusion.fuse_files([Path(scores)])
        own = record['files'][0]['config']
        if args.config and own not in ('', Path(args.config).name):
            raise InputError(f'{scores} contains the scores of {own}, '
                             'expected those of the config that you pass.')
        print(fusion.describe(record))
        confusion.draw_confusion(record['confusion'], [
            row['name'] for row in record['classes']], args.show_path)
        print(args.show_path)


if __name__ == '__main__':
    main()
