"""Draw sequences of a data set as skeletons, before and after the pipeline.

Each drawing shows the joints in the annotation file beside the clip that the
pipeline makes of them, with class, frame and shapes. In 3D, the front view is
that of a Kinect sensor.
"""
import argparse
import logging
from pathlib import Path

EXAMPLES = '''examples:
  python tools/visualization/browse_dataset.py \\
      configs/stdcl/stdcl-stgcn_synthetic.py
  python tools/visualization/browse_dataset.py CONFIG --format html \\
      --num 50 --split test                    one page; drag to turn
  python tools/visualization/browse_dataset.py CONFIG --view 35,15 \\
      --names a01_s01_e00_v01 a02_s01_e00_v01
  python tools/visualization/browse_dataset.py CONFIG --classes throw 4
  python tools/visualization/browse_dataset.py CONFIG --cfg-options \\
      train_dataloader.dataset.dataset.ann_file=my.pkl

Paths in a config (data/...) are relative to the working directory.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'],
                        default='train', help='default: train')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--names', nargs='+', metavar='NAME',
                       help='sequences to draw (frame_dir)')
    which.add_argument('--classes', nargs='+', metavar='CLASS',
                       help='names or numbers of the classes to choose from; '
                       'default: all')
    parser.add_argument('--num', type=int, default=8,
                        help='number of sequences, chosen at random; '
                        'default: 8')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of that choice and of random transforms; '
                        'default: 0')
    parser.add_argument('--out-dir', type=Path, default=Path('browse'),
                        help='default: browse')
    parser.add_argument('--format', choices=['gif', 'html'], default='gif',
                        help='a GIF for each sequence, or one HTML page with '
                        'a player; default: gif')
    parser.add_argument('--view', default='front',
                        help='front, side, back, top, oblique, or '
                        'AZIMUTH,ELEVATION in degrees (--view=-35,15); 3D '
                        'data only; default: front')
    parser.add_argument('--layout', help='name or JSON file of the skeleton '
                        "layout; default: that of the config's model")
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f'--num is {args.num}, expected 1 or more.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.datasets.converters.custom_data import read_layout
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    from projects.stdcl.visualization.browse import (
        DatasetBrowser,
        write_sequences,
    )
    from projects.stdcl.visualization.views import parse_view
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        view = parse_view(args.view)
        browser = DatasetBrowser(
            load_config(args.config, args.cfg_options), args.split,
            args.layout and read_layout(args.layout)[1])
        indices = browser.choose(args.names, args.classes, args.num,
                                 args.seed)
        title = f'{Path(args.config).stem}_{args.split}'
        for path in write_sequences(browser, indices, args.out_dir,
                                    args.format, title, view, args.seed):
            print(path)


if __name__ == '__main__':
    main()
