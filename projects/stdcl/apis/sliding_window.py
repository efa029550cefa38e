"""Sliding windows over long sequences, and scores for each frame."""
from collections.abc import Sequence

import torch


def cut(shown: Sequence[bool], window: int | None,
        stride: int | None) -> list[slice]:
    """Cut a sequence into windows, and omit those in which nobody is shown.

    >>> cut([True] * 9 + [False], window=4, stride=3)
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]

    ``shown`` says for each frame whether a joint was detected. Windows of
    ``window`` frames start every ``stride`` frames (default: a quarter of
    ``window``, at least 1). The last one ends with the sequence. If ``window``
    is None or not shorter than the sequence, there is one window.
    """
    window = min(window or len(shown), len(shown))
    last = len(shown) - window
    starts = [*range(0, last, stride or max(1, window // 4)), last]
    windows = [slice(start, start + window) for start in starts]
    return [one for one in windows if any(shown[one])]


def spread_over_frames(scores: torch.Tensor, windows: Sequence[slice],
                       num_frames: int) -> torch.Tensor:
    """Average, for each frame, the scores of the windows that contain it.

    Map the scores of W windows, (W, classes), to those of all frames, (T,
    classes). The scores of frames outside all windows are NaN.
    """
    total = scores.new_zeros(num_frames, scores.shape[1])
    count = scores.new_zeros(num_frames, 1)
    for score, window in zip(scores, windows):
        total[window] += score
        count[window] += 1
    return total / count
