"""Convert NTU RGB+D 60 or 120 to an annotation file with all its splits.

The file for ntu60 has the splits xsub_train, xsub_val, xview_train and
xview_val. The file for ntu120 has xsub_train, xsub_val, xset_train and
xset_val. A report next to DST, *.report.json, names every file that was
dropped or repaired. The exit status is 1 if the input is invalid, or if all
files were found but a split does not have its published size.
"""
import argparse
import sys
from pathlib import Path

EXAMPLES = '''example:
  python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \\
      nturgbd_skeletons_s018_to_s032.zip data/ntu/ntu120.pkl'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('sources', type=Path, nargs='+', metavar='SRC', help='downloaded zip '
        'files, or folders of zip or .skeleton files; ntu60 needs setups 1 to '
        '17, ntu120 needs setups 1 to 32')
    add('destination', type=Path, metavar='DST',
        help='annotation file to write (*.pkl)')
    add('--benchmark', choices=['ntu60', 'ntu120'], help='benchmark to '
        'convert; default: ntu120 if there are files of setups 18 to 32, '
        'otherwise ntu60')
    add('--processes', type=int,
        help='number of worker processes; default: number of cores')
    args = parser.parse_intermixed_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected a *.pkl file.')
    from projects.stdcl.datasets.converters.ntu_rgbd import BENCHMARKS, convert
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args=args):
        report = convert(args.sources, args.destination, args.benchmark,
                         args.processes)
    print(f'{args.destination}: sequences per split: {report["splits"]}, from '
          f'{report["files_found"]} of {report["files_published"]} files; '
          f'{len(report["dropped"])} dropped, {len(report["repaired"])} '
          f'repaired; see {args.destination.with_suffix(".report.json")}')
    if report['as_published'] is False:
        sys.exit('error: all files were found, but the split sizes differ '
                 f'from {BENCHMARKS[report["benchmark"]]["sizes"]}.')


if __name__ == '__main__':
    main()
