"""Convert your own sequences to an annotation file."""
import argparse
import json
import os
import sys
from pathlib import Path

EXAMPLE = '''example:
  python tools/data/custom.py recordings labels.csv data/gestures.pkl \\
      --layout hand.json --val-ratio 0.2 --config gestures.py

docs/custom_data.md describes the files.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert your own sequences, one file per sequence, to an '
        'annotation\nfile with the splits train and val, and write a config '
        'that trains on it. All\ninput is checked before anything is written.',
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, metavar='SRC',
                        help='folder that contains .npy, .npz or .csv files')
    parser.add_argument(
        'labels', type=Path, metavar='LABELS', help='CSV table with the '
        'columns name (or file) and label, and optionally subject and split')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='annotation file to write (*.pkl)')
    parser.add_argument(
        '--layout', required=True, help='name of a skeleton layout, such as '
        'coco, or a .json file with joint_names, edges and center, and '
        'optionally name, bones, parts and dims')
    parser.add_argument(
        '--classes', type=Path, metavar='FILE', help='file with one class '
        'name per line, in the order of the labels; default: the names in '
        'LABELS, sorted')
    parser.add_argument(
        '--val-ratio', type=float, metavar='R', help='draw this share of the '
        'data for val, such as 0.2; default: use the column split of LABELS')
    parser.add_argument(
        '--by-subject', action=argparse.BooleanOptionalAction,
        help='with --val-ratio: draw whole subjects, so that nobody is in '
        'both splits; with --no-by-subject, draw sequences of each class; '
        'default: draw subjects if every row of LABELS names one and there '
        'are at least two')
    parser.add_argument('--seed', type=int, default=0,
                        help='random seed for --val-ratio; default: 0')
    parser.add_argument(
        '--img-shape', type=int, nargs=2, metavar=('H', 'W'), help='height '
        'and width in pixels of the images in which 2D joints were detected; '
        'the joints are then normalized by this size')
    parser.add_argument(
        '--skip-bad', action='store_true', help='leave out sequences that '
        'have problems and list them in *.report.json, next to DST')
    parser.add_argument('--config', type=Path, metavar='OUT.py',
                        help='config file to write; default: print the config')
    parser.add_argument(
        '--encoder', default='stgcn', help='encoder of the config, a key of '
        'ENCODERS in projects/stdcl/catalogue.py; default: stgcn')
    parser.add_argument('--plain', action='store_true',
                        help='make a config without STD-CL')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected *.pkl.')
    if args.val_ratio is not None and not 0 < args.val_ratio < 1:
        parser.error(f'--val-ratio is {args.val_ratio}, expected a number '
                     'above 0 and below 1.')
    if args.config is not None and (
            args.config.suffix != '.py' or args.config.exists()):
        parser.error(f'--config is {args.config}, expected a *.py file that '
                     'does not exist yet.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.catalogue import ENCODERS, require_known
    from projects.stdcl.datasets.converters import custom_config, custom_data
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(str(args.source)):
        require_known('--encoder', args.encoder, ENCODERS)
        data = custom_data.convert(
            args.source, args.labels, args.destination, args.layout,
            classes=args.classes, val_ratio=args.val_ratio,
            by_subject=args.by_subject, seed=args.seed,
            img_shape=args.img_shape, skip_bad=args.skip_bad)
    print(f'{args.destination}:\n{data.summary}')
    for warning in data.warnings:
        print(f'warning: {warning}.', file=sys.stderr)
    if args.skip_bad:
        path = args.destination.with_suffix('.report.json')
        path.write_text(json.dumps(dict(
            annotation_file=str(args.destination),
            left_out=data.problems), indent=2) + '\n')
        print(f'{path}: {len(data.problems)} sequences left out')
    folder = (args.config or Path('config.py')).resolve().parent
    text = custom_config.make_config(
        args.destination, data, args.encoder, not args.plain, folder,
        args.img_shape)
    if args.config is None:
        print(f'Config to train on this file, from the current directory:'
              f'\n\n{text}')
        return
    folder.mkdir(parents=True, exist_ok=True)
    args.config.write_text(text)
    tool = os.path.relpath(Path(__file__).resolve().parents[1] / 'train.py')
    print(f'{args.config}: to train, run\n  python {tool} {args.config}')


if __name__ == '__main__':
    main()
