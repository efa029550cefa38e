"""Fuse the score files of several trainings; see --help."""
import argparse
import json
from pathlib import Path

EPILOG = '''four streams: four trainings and one fusion
  for s in joint bone joint-motion bone-motion; do
      python tools/train.py CONFIG --stream $s --work-dir work_dirs/$s
      python tools/test.py CONFIG work_dirs/$s/epoch_65.pth --stream $s \\
          --dump $s.npz
  done
  python tools/ensemble.py joint.npz bone.npz joint-motion.npz bone-motion.npz

other examples:
  python tools/ensemble.py joint.npz ctrgcn.pkl --weights 1 0.5
  python tools/ensemble.py *.npz --out result.json --confusion confusion.png

files:
  *.npz    tools/test.py --dump: names, labels, logits and probabilities
  *.pkl    MMEngine's DumpResults (tools/test.py --dump scores.pkl)
  *.pkl    CTR-GCN, FR-Head: a dict name -> scores; no labels
  *.pkl    PYSKL: a list of scores; no names, no labels
  *.npz    an array of scores for each name; no labels

Sequences are matched by name, those of files without names by order. Labels
may be in any of the files, or in an annotation file (--labels).

Weights by default: the four streams get 2:2:1:1, by the stream stored in the
files; four files without a stream are taken in the order joint, bone,
joint-motion, bone-motion; any other files get equal weights. Do not choose
weights by test accuracy: the result would no longer be a test.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Fuse the scores of several trainings by a weighted sum, '
        'and print accuracies of each file, of the fusion, and by class.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('files', nargs='+', type=Path, help='score files')
    parser.add_argument('--weights', nargs='+', type=float,
                        help='one per file; default: see below')
    parser.add_argument(
        '--scores', choices=['logits', 'probabilities'], help='what is '
        'summed; default: logits if all files have them, else probabilities')
    parser.add_argument('--labels', type=Path, metavar='ANNOTATIONS.pkl',
                        help='annotation file with labels and class names')
    parser.add_argument('--out', type=Path, metavar='RESULT.json',
                        help='write the result as JSON')
    parser.add_argument('--confusion', type=Path, metavar='PICTURE.png',
                        help='draw the confusion matrix')
    args = parser.parse_args()
    for option, suffix in (('out', '.json'), ('confusion', '.png')):
        path = getattr(args, option)
        if path and path.suffix != suffix:
            parser.error(f'--{option} is {path}, expected *{suffix}.')
    return args


def main() -> None:
    args = parse_args()
    import numpy as np

    from projects.stdcl.evaluation import fusion
    from projects.stdcl.utils.atomic_write import atomic_write
    from projects.stdcl.utils.environment import current_commit
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly():
        record = fusion.fuse_files(args.files, args.weights, args.scores,
                                   args.labels)
        print(fusion.describe(record))
        if args.out:
            with atomic_write(args.out) as partial:
                partial.write_text(json.dumps({**record, **current_commit()},
                                              indent=1))
        if args.confusion:
            fusion.draw_confusion(
                np.array(record['confusion']),
                [row['name'] for row in record['classes']], args.confusion)


if __name__ == '__main__':
    main()
