"""Fuse the scores of several streams by a weighted sum.

Example, joint, bone, joint motion and bone motion:
    python tools/analysis/fuse_scores.py j.pkl b.pkl jm.pkl bm.pkl \
        --weights 2 2 1 1
"""
import argparse
import os.path as osp
import pickle
import sys

import numpy as np

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from projects.stdcl.utils import safe_pickle  # noqa: E402


def read_scores(path: str) -> tuple:
    """Read a file written by ``tools/test.py --dump``.

    Returns:
        tuple[ndarray, ndarray]: Scores (N, num_classes) and labels (N,).
    """
    samples = safe_pickle.load(path)
    scores = np.stack([np.asarray(sample['pred_score'])
                       for sample in samples])
    labels = np.array([int(sample['gt_label']) for sample in samples])
    return scores, labels


def fuse(paths: list, weights: list) -> tuple:
    """Top-1 accuracy of each file, and of the weighted sum of all.

    Args:
        paths (list[str]): Score files of the same test set, in its order.
        weights (list[float]): One for each.

    Returns:
        tuple[list[float], float]: Accuracies between 0 and 1.

    Raises:
        ValueError: The files are of different test sets.
    """
    scores, labels = zip(*map(read_scores, paths))
    for path, other in zip(paths, labels):
        if not np.array_equal(other, labels[0]):
            raise ValueError(f'{path} and {paths[0]} are of different test '
                             f'sets: {len(other)} and {len(labels[0])} '
                             'sequences, or other labels.')
    fused = sum(weight * score for weight, score in zip(weights, scores))
    return ([_accuracy(score, labels[0]) for score in scores],
            _accuracy(fused, labels[0]))


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Fuse the scores of several streams by a weighted sum.',
        epilog='example: python tools/analysis/fuse_scores.py j.pkl b.pkl '
        'jm.pkl bm.pkl --weights 2 2 1 1')
    parser.add_argument('scores', nargs='+',
                        help='files written by tools/test.py --dump')
    parser.add_argument('--weights', nargs='+', type=float,
                        help='one for each file; default: all 1')
    args = parser.parse_args()
    weights = args.weights or [1.0] * len(args.scores)
    if len(weights) != len(args.scores):
        parser.error(f'--weights has {len(weights)} numbers for '
                     f'{len(args.scores)} files.')
    try:
        single, fused = fuse(args.scores, weights)
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        sys.exit(f'error: {error}')
    for path, weight, accuracy in zip(args.scores, weights, single):
        print(f'{path} (weight {weight:g}): top-1 {100 * accuracy:.2f}')
    print(f'fused: top-1 {100 * fused:.2f}')


if __name__ == '__main__':
    main()
