"""Convert JHMDB (14 classes in 2D, three splits) to an annotation file."""
import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='example: python tools/data/jhmdb.py '
        'DD-Net/data/JHMDB data/jhmdb/jhmdb.pkl')
    parser.add_argument('source', type=Path,
                        help='data/JHMDB of DD-Net; see docs/data.md')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='annotation file to write (*.pkl)')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected a *.pkl file.')
    from projects.stdcl.datasets.converters.jhmdb import convert
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args=args):
        for split, count in convert(args.source, args.destination).items():
            print(f'{split}: {count} clips')


if __name__ == '__main__':
    main()
