"""Convert your own sequences to an annotation file."""
import argparse
import os
import sys
from pathlib import Path

EXAMPLE = '''examples:
  python tools/data/custom.py recordings labels.csv data/gestures.pkl \\
      --layout hand.json --val-ratio 0.2 --config gestures.py
  python tools/data/custom.py ntu60_2d.pkl data/ntu60.pkl --layout coco \\
      --split xsub_train xsub_val

docs/custom_data.md describes the files.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert your own sequences to an annotation file, and '
        'write a config that trains on it.', epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('source', type=Path, metavar='SRC', help='folder of .npy, .npz or '
        '.csv files, or an annotation file of PYSKL or MMAction2 (*.pkl)')
    add('labels', type=Path, metavar='LABELS', nargs='?', help='for a folder: '
        'CSV table with the columns name and label, and optionally subject '
        'and split')
    add('destination', type=Path, metavar='DST',
        help='annotation file to write (*.pkl)')
    add('--layout', required=True, help='name of a skeleton layout, such as '
        'coco, or a .json file with joint_names, edges and center, and '
        'optionally name, bones, parts and dims')
    add('--classes', type=Path, metavar='FILE', help='class names in the '
        'order of the labels, one per line, or the annotation file of the '
        'training set; default: the names in LABELS, sorted')
    add('--split', nargs='+', metavar='NAME', default=(), help='for an '
        'annotation file: its splits to use as train, val and, optionally, '
        'test; default: draw them (--val-ratio)')
    add('--test-only', action='store_true', help='put all sequences into the '
        'split test; needs --classes')
    add('--val-ratio', type=float, metavar='R', help='draw this share of the '
        'data for val, such as 0.2, except for rows with the split test; '
        'default: use the column split of LABELS')
    add('--by-subject', action=argparse.BooleanOptionalAction,
        help='draw whole subjects, or else sequences of each class; default: '
        'draw subjects if all rows name one and there are at least two')
    add('--seed', type=int, default=0, help='random seed; default: 0')
    add('--img-shape', type=int, nargs=2, metavar=('H', 'W'), help='height '
        'and width in pixels of the images in which 2D joints were detected; '
        'the joints are then normalized by this size')
    add('--up', choices=['x', 'y', 'z'], help='vertical axis of 3D joints; '
        'default: the axis along which heads are above feet, or y')
    add('--skip-bad', action='store_true', help='leave out sequences that '
        'have problems, and list these problems')
    add('--config', type=Path, metavar='OUT.py',
        help='config file to write; default: print the config')
    add('--encoder', default='stgcn', help='encoder of the config, a key of '
        'ENCODERS in projects/stdcl/catalogue.py; default: stgcn')
    add('--plain', action='store_true', help='make a config without STD-CL')
    add('--epochs', type=int, metavar='N', help='number of epochs, to which '
        'the learning rate is adapted; default: 65 to 150, as for NW-UCLA')
    add('--width', type=float, default=1, choices=[0.25, 0.5, 1],
        help='width of the encoder, relative to the published one; 0.25 '
        'trains on a laptop; default: 1')
    args = parser.parse_intermixed_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}, expected *.pkl.')
    if (args.labels is None) != (args.source.suffix == '.pkl'):
        parser.error(f'SRC is {args.source} and LABELS is {args.labels}, '
                     'expected a folder and a table, or only a *.pkl file.')
    for name in ('val_ratio', 'epochs'):
        value, most = getattr(args, name), 1 if name == 'val_ratio' else 1e6
        if value is not None and not 0 < value < most:
            parser.error(f'--{name.replace("_", "-")} is {value}, expected a '
                         f'number above 0 and below {most:.0f}.')
    if args.config is not None and (
            args.config.suffix != '.py' or args.config.exists()):
        parser.error(f'--config is {args.config}, expected a *.py file that '
                     'does not exist yet.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.catalogue import ENCODERS, require_known
    from projects.stdcl.utils.input_error import end_cleanly, printable
    options = dict(vars(args))
    config, encoder, plain, epochs, width = map(options.pop, (
        'config', 'encoder', 'plain', 'epochs', 'width'))
    with end_cleanly(str(args.source)):
        from projects.stdcl.datasets.converters.custom_config import (
            make_config,
        )
        from projects.stdcl.datasets.converters.custom_data import convert
        require_known('--encoder', encoder, ENCODERS)
        data = convert(**options)
        print(f'{args.destination}:\n{data.summary}')
        for text in data.warnings + data.problems:
            print(f'warning: {printable(text)}', file=sys.stderr)
        if data.splits == ['test']:
            return
        folder = (config or Path('config.py')).resolve().parent
        text = make_config(args.destination, data, encoder, not plain, folder,
                           args.img_shape, epochs, width)
    if config is None:
        print(f'Config to train on this file, from the current directory:'
              f'\n\n{text}')
        return
    folder.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    tool = os.path.relpath(Path(__file__).resolve().parents[1] / 'train.py')
    print(f'{config}: to train, run\n  python {tool} {config}')


if __name__ == '__main__':
    main()
