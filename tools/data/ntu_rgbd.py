"""Convert NTU RGB+D 60 or 120 to an annotation file with all its splits.

ntu60 has the splits xsub_train, xsub_val, xview_train, xview_val; ntu120 has
xsub_train, xsub_val, xset_train, xset_val. Beside DST goes a report,
*.report.json: every file that was dropped or repaired, and why. If all files
of the benchmark are there but a split does not have its published size, the
exit status is 1.
"""
import argparse
import sys
from pathlib import Path

EXAMPLES = '''examples:
  python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \\
      data/ntu/ntu60.pkl
  python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \\
      nturgbd_skeletons_s018_to_s032.zip data/ntu/ntu120.pkl'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'sources', type=Path, nargs='+', metavar='SRC',
        help='zip files as downloaded, or folders of zip or .skeleton files; '
        'ntu60 needs the setups 1 to 17, ntu120 the setups 1 to 32')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='annotation file to write, *.pkl')
    parser.add_argument(
        '--benchmark', choices=['ntu60', 'ntu120'],
        help='default: ntu120 if there are files of setups 18 to 32')
    parser.add_argument('--processes', type=int,
                        help='workers; default: one for each core')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected *.pkl.')
    if args.processes is not None and args.processes < 1:
        parser.error(f'--processes is {args.processes}, expected 1 or more.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.datasets.converters.ntu_rgbd import convert
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly():
        report = convert(args.sources, args.destination, args.benchmark,
                         args.processes)
    print(f'{args.destination}: {report["benchmark"]}, '
          f'{report["sequences"]} sequences '
          f'({", ".join(f"{k} {n}" for k, n in report["splits"].items())}) '
          f'from {report["files_found"]} of {report["files_published"]} files')
    for what in ('dropped', 'repaired'):
        reasons = ', '.join(f'{why} {number}' for why, number in
                            report[f'{what}_by_reason'].items())
        print(f'{what}: {len(report[what])}' + f' ({reasons})' * bool(reasons))
    print(f'report: {args.destination.with_suffix(".report.json")}')
    if report['as_published'] is False:
        sys.exit('error: all files are there, but the splits do not have '
                 f'their published sizes, {report["splits_published"]}.')


if __name__ == '__main__':
    main()
