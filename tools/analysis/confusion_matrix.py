"""Draw the confusion matrix of a checkpoint.

tools/test.py also draws it. The options have the same names as those of
MMAction2's tools/analysis_tools/confusion_matrix.py. For a score file, use
tools/ensemble.py SCORES.npz --confusion PICTURE.png instead.
"""
import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

EXAMPLE = '''example:
  python tools/analysis/confusion_matrix.py CONFIG CHECKPOINT \\
      --show-path confusion.png'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('--show-path', type=Path, metavar='PICTURE.png',
        default='confusion.png',
        help='picture to write; default: confusion.png')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    if args.show_path.suffix != '.png':  # do not overwrite a checkpoint
        parser.error(f'--show-path is {args.show_path}, expected a .png file.')
    if args.checkpoint.endswith('.npz'):
        parser.error(f'{args.checkpoint} is a score file, expected a '
                     'checkpoint. Use tools/ensemble.py --confusion instead.')
    from projects.stdcl import apis
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.config, args), TemporaryDirectory() as folder:
        apis.test(args.config, args.checkpoint, folder,
                  dump=f'{folder}/scores.pkl', cfg_options=args.cfg_options)
        args.show_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f'{folder}/scores_confusion.png', args.show_path)
        print(args.show_path)


if __name__ == '__main__':
    main()
