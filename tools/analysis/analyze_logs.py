"""Plot the losses and metrics of training runs, one point per epoch."""
import argparse
from pathlib import Path

EXAMPLES = '''examples:
  python tools/analysis/analyze_logs.py plot_curve work_dirs/NAME
  python tools/analysis/analyze_logs.py plot_curve work_dirs/A work_dirs/B \\
      --keys loss_cls acc/top1 --legend STD-CL plain --out curves.png'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('task', choices=['plot_curve'], help='what to do')
    add('logs', nargs='+', type=Path,
        help='work directories, or their files run.json')
    add('--keys', nargs='+', default=['loss', 'acc/top1'],
        help='scalars to plot; default: loss acc/top1')
    add('--legend', nargs='+', help='one name per run; default: the paths')
    add('--out', type=Path, default='curves.png',
        help='picture to write (*.png); default: curves.png')
    args = parser.parse_args()
    args.legend = args.legend or list(map(str, args.logs))
    if len(args.legend) != len(args.logs):
        parser.error(f'--legend is {args.legend}, expected one name per run '
                     f'(number of runs: {len(args.logs)}).')
    if args.out.suffix != '.png':  # do not overwrite a record by mistake
        parser.error(f'--out is {args.out}, expected a *.png file.')
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args=args):
        from projects.stdcl.visualization import curves
        logs = [curves.read_curves(path) for path in args.logs]
        curves.plot_curves(logs, args.keys, args.legend, args.out)
        print(args.out)


if __name__ == '__main__':
    main()
