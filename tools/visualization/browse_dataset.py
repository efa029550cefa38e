"""Draw sequences of a data set as skeletons, before and after the pipeline.

Each drawing shows the joints in the annotation file next to the clip that the
pipeline returns, with the class, the frame and the shapes.
"""
import argparse
import logging
from pathlib import Path

EXAMPLE = '''example:
  python tools/visualization/browse_dataset.py \\
      configs/stdcl/stdcl-stgcn_synthetic.py --format html --num 50'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('--split', choices=['train', 'val', 'test'], default='train',
        help='data loader from which to draw sequences; default: train')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--names', nargs='+', metavar='NAME',
                       help='names of the sequences to draw (frame_dir)')
    which.add_argument('--classes', nargs='+', metavar='CLASS',
                       help='names or numbers of the classes to draw; '
                       'default: all')
    add('--num', type=int, default=8,
        help='number of sequences to draw, chosen at random; default: 8')
    add('--seed', type=int, default=0, help='random seed for the choice of '
        'sequences and for the transforms; default: 0')
    add('--out-dir', type=Path, default='browse',
        help='folder for the drawings; default: browse')
    add('--format', choices=['gif', 'html'], default='gif', help='write a GIF '
        'for each sequence, or one HTML page with a player; default: gif')
    add('--view', choices=['front', 'side', 'back', 'top', 'oblique'],
        default='front', help='view of 3D data; front is the view of the '
        'Kinect sensor; default: front')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    from projects.stdcl.visualization.animation_files import write_animations
    from projects.stdcl.visualization.browse import DatasetBrowser
    from projects.stdcl.visualization.skeleton_animation import VIEWS
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config, args):
        browser = DatasetBrowser(
            load_config(args.config, args.cfg_options), args.split)
        indices = browser.choose(args.names, args.classes, args.num, args.seed)
        title = f'{Path(args.config).stem}_{args.split}'
        animations = [browser.animate(index, args.seed) for index in indices]
        for path in write_animations(animations, browser.layout,
                                     VIEWS[args.view], args.out_dir,
                                     args.format, title):
            print(path)


if __name__ == '__main__':
    main()
