"""Convert the NW-UCLA skeletons (1,484 JSON files) to an annotation file.

Its splits are xview_train (views 1 and 2, 1,020 sequences) and xview_val (view
3, 464 sequences). Three folds divide xview_train by subject, for choosing
settings without the test set; their splits are fold0_train, fold0_val etc.
"""
import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='example: python tools/data/nw_ucla.py '
        'all_sqe.zip data/nw_ucla/nw_ucla.pkl')
    parser.add_argument('source', type=Path, metavar='SRC',
                        help='all_sqe.zip, or its unpacked folder')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='annotation file to write (*.pkl); the configs '
                        'expect data/nw_ucla/nw_ucla.pkl')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected a *.pkl file.')
    from projects.stdcl.datasets.converters import nw_ucla
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.source, args):
        splits = nw_ucla.convert(args.source, args.destination)
    counts = ', '.join(f'{name} {len(part)}' for name, part in splits.items())
    print(f'{args.destination}: sequences per split: {counts}')


if __name__ == '__main__':
    main()
