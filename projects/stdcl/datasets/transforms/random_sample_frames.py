"""Frame sampling of CTR-GCN's NW-UCLA preprocessing (arXiv 2107.12213)."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import InputError


@TRANSFORMS.register_module()
class RandomSampleFrames(BaseTransform):
    """Choose frames at random, or evenly spaced ones in test mode.

    In training, ``clip_len`` frames are drawn uniformly with replacement from
    a random span, and sorted. The length of the span, relative to the
    sequence, is drawn uniformly from ``proportion``. In test mode, the frames
    are floor(linspace(0, T - 1, clip_len)). ``PoseDecode`` then selects them.

    Required key: ``total_frames``. Added keys, as in ``UniformSampleFrames``:
    ``frame_inds``, ``clip_len``, ``frame_interval``, ``num_clips``.

    Args:
        clip_len (int): Number of frames in a clip.
        test_mode (bool): Whether to space frames evenly. Defaults to False.
        proportion (tuple[float, float]): Smallest and largest length of the
            span, relative to the sequence. Defaults to (1, 1).
        num_clips (int): Number of clips, whose scores the head averages. In
            test mode, all clips are identical. Defaults to 1.

    Raises:
        InputError: ``proportion`` is out of range.
    """

    def __init__(self, clip_len: int, test_mode: bool = False,
                 proportion: tuple[float, float] = (1, 1),
                 num_clips: int = 1) -> None:
        low, high = proportion
        if not 0 < low <= high <= 1:
            raise InputError(f'RandomSampleFrames: proportion is {proportion},'
                             ' expected (low, high), 0 < low <= high <= 1.')
        self.proportion = (low, high)
        self.clip_len = clip_len
        self.num_clips = num_clips
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        """Choose the frame indices."""
        total = results['total_frames']
        inds = np.concatenate([self._draw(total)
                               for _ in range(self.num_clips)])
        results['frame_inds'] = inds + results.get('start_index', 0)
        results['clip_len'] = self.clip_len
        results['frame_interval'] = None
        results['num_clips'] = self.num_clips
        return results

    def _draw(self, total: int) -> np.ndarray:
        """Choose the frame indices of one clip."""
        if self.test_mode:
            return np.linspace(0, total - 1, self.clip_len).astype(np.int64)
        first, length = 0, total
        if self.proportion != (1, 1):
            length = max(1, round(total * np.random.uniform(*self.proportion)))
            first = np.random.randint(total - length + 1)
        return first + np.sort(np.random.randint(0, length, self.clip_len))
