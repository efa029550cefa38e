"""Convert your own sequences to an annotation file.

Example:
    python tools/data/custom.py recordings labels.csv data/gestures.pkl \\
        --layout hand.json --val-ratio 0.2 --config gestures.py

docs/custom_data.md describes the files.
"""
import argparse
import shlex
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('source', type=Path, metavar='SRC', help='folder of .npy, .npz or '
        '.csv files, or an annotation file of PYSKL or MMAction2 (*.pkl)')
    add('labels', type=Path, metavar='LABELS', nargs='?', help='for a folder: '
        'CSV table with the columns name, label and, optionally, subject and '
        'split')
    add('destination', type=Path, metavar='DST',
        help='annotation file to write (*.pkl)')
    add('--layout', required=True, help='name of a skeleton layout, such as '
        'coco, or a .json file with joint_names, edges and center')
    add('--classes', type=Path, metavar='FILE', help='text file of class '
        'names, one per line, or annotation file of the training set; '
        'default: the names in LABELS, sorted')
    add('--split', nargs='+', metavar='NAME', default=(), help='for an '
        'annotation file: its splits to use as train, val and test')
    add('--val-ratio', type=float, metavar='R', help='share of the subjects '
        'or, without subjects, of each class to draw for val, such as 0.2; '
        'default: use the column split of LABELS')
    add('--seed', type=int, default=0, help='random seed; default: 0')
    add('--img-shape', type=int, nargs=2, metavar=('H', 'W'), help='height '
        'and width in pixels of the images, to normalize 2D joints by')
    add('--up', choices=['x', 'y', 'z'], help='vertical axis of 3D joints; '
        'default: detected from the heads and feet if possible, otherwise y')
    output = parser.add_mutually_exclusive_group()
    output.add_argument('--test-only', action='store_true', help='put all '
                        'sequences into the split test; a table then needs '
                        '--classes')
    output.add_argument('--config', type=Path, metavar='OUT.py',
                        help='config file to write, for training on the data')
    add('--encoder', default='stgcn', help='encoder of the config, such as '
        'ctrgcn; default: stgcn')
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument('--plain', action='store_true',
                         help='write a config without STD-CL')
    variant.add_argument('--recommended', action='store_true',
                         help='write a config of the recommended variant; '
                         'default: STD-CL with the settings of the release')
    add('--epochs', type=int, metavar='N', help='number of epochs, to which '
        'the schedule is fitted; default: 65 to 150, as for NW-UCLA')
    add('--width', type=float, default=1, choices=[0.25, 0.5, 1],
        help='relative width of the encoder, such as 0.25 for training on a '
        'laptop; default: 1')
    args = parser.parse_intermixed_args()
    paths = args.source, args.labels, args.destination
    inputs = [path.resolve() for path in (args.source, args.classes) if path]
    is_file, has_table = args.source.suffix == '.pkl', args.labels is not None
    if (args.destination.suffix != '.pkl' or is_file == has_table
            or args.destination.resolve() in inputs):
        parser.error(f'the paths are {", ".join(map(str, paths))}, expected a '
                     'folder, a table and a *.pkl file, or two *.pkl files, '
                     'of which the last is not an input.')
    if args.config:
        for wrong, expected in (
                (args.config.suffix != '.py', 'a *.py file'),
                (args.config.exists(), 'a file that does not exist; delete it '
                 'to write it again'),
                ('{{' in f'{args.config}{args.destination}', 'no "{{" in it '
                 f'and in {args.destination}, because MMEngine replaces it')):
            if wrong:
                parser.error(f'--config is {args.config}, expected '
                             f'{expected}.')
    if args.epochs is not None and args.epochs < 1:
        parser.error(f'--epochs is {args.epochs}, expected at least 1.')
    from projects.stdcl.utils.input_error import end_cleanly, require_known
    with end_cleanly(args=args):
        from projects.stdcl.catalogue import ENCODERS
        from projects.stdcl.datasets.converters.custom_config import write
        from projects.stdcl.datasets.converters.custom_data import convert
        require_known('--encoder', args.encoder, ENCODERS)
        content, summary = convert(
            *paths, args.layout, classes=args.classes, split=args.split,
            test_only=args.test_only, val_ratio=args.val_ratio, seed=args.seed,
            img_shape=args.img_shape, up=args.up)
        print(f'{args.destination}:\n{summary}')
        if args.config:
            write(args.config, args.destination, content, args.encoder,
                  stdcl=not args.plain, recommended=args.recommended,
                  epochs=args.epochs, width=args.width,
                  img_shape=args.img_shape)
            tool = Path(__file__).parents[1] / 'train.py'
            command = shlex.join(['python', tool.as_posix(),
                                  args.config.as_posix()])
            print(f'{args.config}: to train, run\n  {command}')


if __name__ == '__main__':
    main()
