"""Plot the curves of training runs, or compute the time per step.

A log is a work directory, or a file such as TIME/vis_data/scalars.json.
"""
import argparse
from pathlib import Path

EXAMPLES = '''examples:
  python tools/analysis/analyze_logs.py plot_curve work_dirs/NAME
  python tools/analysis/analyze_logs.py plot_curve work_dirs/A work_dirs/B \\
      --keys loss_cls acc/top1 --legend plain STD-CL --out curves.png
  python tools/analysis/analyze_logs.py cal_train_time work_dirs/NAME'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='draw curves as a picture')
    time = tasks.add_parser('cal_train_time', help='print the time per step')
    for task in (plot, time):
        task.add_argument('logs', nargs='+', type=Path,
                          help='work directories or log files')
    plot.add_argument('--keys', nargs='+', default=['loss', 'acc/top1'],
                      help='scalars to plot; default: loss acc/top1')
    plot.add_argument('--legend', nargs='+',
                      help='one name per log; default: the paths')
    plot.add_argument('--out', type=Path, default='curves.png',
                      help='picture to write (*.png); default: curves.png')
    args = parser.parse_args()
    if args.task == 'plot_curve':
        args.legend = args.legend or list(map(str, args.logs))
        if len(args.legend) != len(args.logs):
            plot.error(f'--legend is {args.legend}, expected one name per '
                       f'log (number of logs: {len(args.logs)}).')
        if args.out.suffix != '.png':  # do not overwrite a log by mistake
            plot.error(f'--out is {args.out}, expected a *.png file.')
    from projects.stdcl.utils.input_error import end_cleanly, printable
    with end_cleanly(args=args):
        from projects.stdcl.visualization import curves
        logs = [curves.read_log(path) for path in args.logs]
        if args.task == 'plot_curve':
            curves.plot_curves(logs, args.keys, args.legend, args.out)
            print(args.out)
        else:
            for path, log in zip(args.logs, logs):
                print(f'{printable(path)}: {curves.describe_times(log)}')


if __name__ == '__main__':
    main()
