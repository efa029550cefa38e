"""Tell what is done in skeleton files, and show it.

Files may be .json of NW-UCLA ("skeletons", frames x 20 x 3), .skeleton of
NTU RGB+D, and .npy, .npz or .csv as docs/custom_data.md has them.
"""
import argparse
import json
import os.path as osp
import sys
from pathlib import Path

from mmengine.config import Config
from rich.progress import track

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
sys.path[:0] = [ROOT, osp.join(ROOT, 'tools', 'data')]

import custom
import nw_ucla
from annotation_file import DataError

from projects.stdcl.apis import SkeletonInferencer
from projects.stdcl.apis.skeleton_inferencer import FORMATS
from projects.stdcl.datasets.converters.ntu_skeleton import load_skeleton
from projects.stdcl.utils.config_check import (
    add_model_arguments,
    load_config,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)
from projects.stdcl.utils.skeleton_layout import SkeletonLayout

EXAMPLES = '''examples:
  python tools/demo.py CONFIG CHECKPOINT a01_s01_e00_v01.json
  python tools/demo.py CONFIG CHECKPOINT S001C001P001R001A001.skeleton \\
      --format gif --out-dir pictures
  python tools/demo.py CONFIG CHECKPOINT day.npy --window 60 --stride 15
                         a long recording: what is done when'''


def read(path: Path, layout: SkeletonLayout) -> dict:
    """Read a file by its suffix.

    Returns:
        dict: ``keypoint``, float32, (M, T, V, C), and perhaps
        ``keypoint_score``, (M, T, V).

    Raises:
        InputError: The suffix is unknown, or the file is not as it should be.
        FileNotFoundError: It is not there.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == '.json':
            return dict(keypoint=nw_ucla.read_skeletons(
                str(path), path.read_bytes())[1])
        if suffix == '.skeleton':
            return dict(keypoint=load_skeleton(path))
        if suffix in custom.SUFFIXES:
            if not path.is_file():
                raise FileNotFoundError(f'{path} does not exist.')
            return custom.read_sequence(path, layout)
    except DataError as error:
        raise InputError(str(error)) from error
    raise InputError(
        f'{path}: the suffix is "{suffix}", expected one of .json, .skeleton, '
        f'{", ".join(custom.SUFFIXES)}.')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('files', nargs='+', type=Path, help='skeleton files')
    parser.add_argument('--topk', type=int, default=3,
                        help='classes to name for each file; default: 3')
    parser.add_argument(
        '--window', type=int, metavar='FRAMES',
        help='cut long recordings into windows of so many frames; default: '
        'a file is one action')
    parser.add_argument(
        '--stride', type=int, metavar='FRAMES',
        help='from one window to the next; default: a quarter of a window')
    parser.add_argument('--format', choices=FORMATS, default='html',
                        help='of the pictures; default: html')
    parser.add_argument('--out-dir', default='work_dirs/demo',
                        help='folder for them; default: work_dirs/demo')
    parser.add_argument('--json', action='store_true',
                        help='print JSON')
    parser.add_argument(
        '--img-shape', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'),
        help='of the images in which two-dimensional joints were found, in '
        'pixels; for models that have PreNormalize2D before them')
    parser.add_argument('--device', help='default: a GPU where there is one')
    args = parser.parse_args()
    if args.topk < 1:
        parser.error(f'--topk is {args.topk}, expected 1 or more.')
    return args


def run(args: argparse.Namespace, cfg: Config) -> dict:
    """The command; returns what the inferencer does for the files."""
    inferencer = SkeletonInferencer(cfg, args.checkpoint, args.device)
    images = dict(img_shape=tuple(args.img_shape)) if args.img_shape else {}
    sequences = [dict(read(path, inferencer.layout), **images)
                 for path in track(args.files, description='reading',
                                   disable=args.json
                                   or len(args.files) == 1)]
    return inferencer(
        sequences, window=args.window, stride=args.stride, topk=args.topk,
        out_dir=args.out_dir, format=args.format,
        names=unique([path.stem for path in args.files]))


def unique(names: list) -> list:
    """Names of files of several folders, none twice."""
    taken: list = []
    for index, name in enumerate(names):
        while name in taken or (name == names[index]
                                and names.count(name) > 1):
            name = f'{name}-{index}'
        taken.append(name)
    return taken


def show(path: Path, prediction: dict, picture: str) -> None:
    """Print what is done in a file."""
    several = len(prediction['segments']) > 1
    print(f'{path}: ' + ('on average ' if several else '') + ', '.join(
        f'{one["class_name"]} {one["score"]:.1%}'
        for one in prediction['top']) + f'; {picture}')
    if several:
        for one in prediction['segments']:
            print(f'  frames {one["start"] + 1} to {one["end"]}: '
                  f'{one["class_name"]} {one["score"]:.1%}')


def main() -> None:
    args = parse_args()
    with end_cleanly(args.config):
        result = run(args, load_config(args.config, args.cfg_options))
    if args.json:
        print(json.dumps(dict(
            files=list(map(str, args.files)), **result), indent=1))
        return
    for item in zip(args.files, result['predictions'],
                    result['visualization']):
        show(*item)


if __name__ == '__main__':
    main()
