"""Classify skeleton files and draw them with their predictions.

Without arguments, the demo uses a model and a synthetic recording of this
repository. Supported files are .json files of NW-UCLA, .skeleton files of NTU
RGB+D, and the .npy, .npz and .csv files that docs/custom_data.md describes.
"""
import argparse
import json
from pathlib import Path

EXAMPLE = '''examples:
  python tools/demo.py
  python tools/demo.py CONFIG CHECKPOINT day.npy --window 60 --stride 15'''
ZOO = Path(__file__).resolve().parents[1] / 'runs/zoo'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', nargs='?', help='config file')
    add('checkpoint', nargs='?', help='checkpoint file (*.pth)')
    add('files', nargs='*', type=Path, help='skeleton files')
    add('--topk', type=int, default=3,
        help='number of most probable classes to print; default: 3')
    add('--window', type=int, metavar='FRAMES', help='cut recordings into '
        'windows of this length; default: treat each file as one action')
    add('--stride', type=int, metavar='FRAMES', help='distance between the '
        'starts of consecutive windows; default: a quarter of a window')
    add('--format', choices=['gif', 'html'], default='html',
        help='format of the animations; default: html')
    add('--out-dir', default='work_dirs/demo',
        help='folder for the animations, or "" to draw none; default: '
        'work_dirs/demo')
    add('--json', action='store_true', help='print the result as JSON')
    add('--img-shape', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'),
        help='size in pixels of the images in which 2D joints were detected; '
        'required if the pipeline contains PreNormalize2D without img_shape')
    add('--device', help='device that runs the model; default: a GPU if there '
        'is one, otherwise cpu')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_intermixed_args()
    if args.config is None:
        args.config = ZOO / 'stgcn_jhmdb.py'
        args.checkpoint = min(ZOO.glob('stgcn_jhmdb-*.pth'))
        args.files = [ZOO / 'pullup.csv']
    elif not args.files:
        parser.error('expected a config, a checkpoint and skeleton files, or '
                     'none of them')
    from projects.stdcl.apis import SkeletonInferencer
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly, printable
    with end_cleanly(args.config, args):
        inferencer = SkeletonInferencer(
            load_config(args.config, args.cfg_options), args.checkpoint,
            args.device)
    with end_cleanly(args=args):  # these errors name the recordings
        result = inferencer(
            args.files, window=args.window, stride=args.stride,
            img_shape=args.img_shape, topk=args.topk, out_dir=args.out_dir,
            format=args.format)
        if args.json:
            print(json.dumps(dict(
                files=list(map(str, args.files)), **result), indent=1))
            return
        for path, prediction in zip(map(printable, args.files),
                                    result['predictions']):
            if len(prediction['segments']) == 1:
                print(f'{path}: ' + ', '.join(map(show, prediction['top'])))
                continue
            print(f'{path}: {len(prediction["segments"])} segments')
            for one in prediction['segments']:
                print(f'  frames {one["start"] + 1} to {one["end"]}: '
                      f'{show(one)}')
        if args.out_dir:
            print('written:', *map(printable, result['visualization']))


def show(one: dict) -> str:
    """Format a prediction: class and probability, if there is one."""
    score = '' if one['score'] is None else f' {one["score"]:.1%}'
    return one['class_name'] + score


if __name__ == '__main__':
    main()
