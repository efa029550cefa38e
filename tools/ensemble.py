"""Fuse the score files of several runs; see --help."""
import argparse
import json
from pathlib import Path

EPILOG = '''example: the four streams
  for s in joint bone joint-motion bone-motion; do
      python tools/train.py CONFIG --stream $s --work-dir work_dirs/$s
      python tools/test.py CONFIG work_dirs/$s/epoch_65.pth --stream $s \\
          --dump $s.npz
  done
  python tools/ensemble.py joint.npz bone.npz joint-motion.npz bone-motion.npz

Score files are *.npz files from tools/test.py --dump or pickles from other
projects. A pickle contains a dict that maps names to scores (CTR-GCN, FR-Head)
or a list of scores (PYSKL) in the order of the other files. If the names are
only numbers, use --labels to pass a list of the names and labels of the
sequences. Do not choose weights by test accuracy.'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Fuse the scores of several runs by a weighted sum, and '
        'print the\naccuracy of each file, of the fusion and of each class.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('files', nargs='+', type=Path, help='score files')
    add('--weights', nargs='+', type=float, help='one weight per file; '
        'default: 2 for joint and bone and 1 for the motion streams if there '
        'is one file per stream, otherwise equal')
    add('--scores', choices=['logits', 'probabilities', 'softmax'],
        help='scores to sum; "softmax" sums probabilities and computes them '
        'for files that contain only logits; default: logits if all files '
        'contain them, otherwise probabilities')
    add('--labels', nargs='+', type=Path, metavar='FILE', default=[],
        help='files with the labels or names that are missing from the score '
        'files: annotation files (*.pkl), or lists in the order of a score '
        'file (*.npy with labels; *.csv or *.txt with a label, a name, or '
        'name,label in each row)')
    add('--out', type=Path, metavar='RESULT.json',
        help='write the result as JSON')
    add('--confusion', type=Path, metavar='PICTURE.png',
        help='draw the confusion matrix')
    args = parser.parse_args()
    for name, suffix in dict(out='.json', confusion='.png').items():
        path = getattr(args, name)
        if path and path.suffix != suffix:  # do not overwrite a score file
            parser.error(f'--{name} is {path}, expected a *{suffix} file.')
    from projects.stdcl.evaluation import fusion
    from projects.stdcl.evaluation.confusion import draw_confusion
    from projects.stdcl.utils.atomic_write import atomic_write
    from projects.stdcl.utils.environment import current_commit
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args=args):
        record = fusion.fuse_files(args.files, args.weights, args.scores,
                                   args.labels)
        print(fusion.describe(record))
        if args.out:
            with atomic_write(args.out) as partial:
                partial.write_text(json.dumps({**record, **current_commit()},
                                              indent=1))
        if args.confusion:
            draw_confusion(record['confusion'], [
                row['name'] for row in record['classes']], args.confusion)


if __name__ == '__main__':
    main()
