"""The choice of frames of the NW-UCLA recipe."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import require_positive


@TRANSFORMS.register_module()
class RandomSampleFrames(BaseTransform):
    """Choose frames at random, or evenly spaced ones in test mode.

    In training, ``clip_len`` frames are drawn uniformly with repetition and
    sorted. In test mode they are floor(linspace(0, T - 1, clip_len)).
    ``PoseDecode`` then picks them.

    Required key: ``total_frames``. Added keys, as in ``UniformSampleFrames``:
    ``frame_inds``, ``clip_len``, ``frame_interval``, ``num_clips``.

    Args:
        clip_len (int): Frames of a clip.
        test_mode (bool): Defaults to False.
    """

    def __init__(self, clip_len: int, test_mode: bool = False) -> None:
        require_positive(type(self).__name__, clip_len=clip_len)
        self.clip_len = clip_len
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        """Choose the frames."""
        total = results['total_frames']
        if self.test_mode:
            inds = np.linspace(0, total - 1, self.clip_len).astype(np.int64)
        else:
            inds = np.sort(np.random.randint(0, total, self.clip_len))
        results['frame_inds'] = inds + results.get('start_index', 0)
        results['clip_len'] = self.clip_len
        results['frame_interval'] = None
        results['num_clips'] = 1
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(clip_len={self.clip_len}, '
                f'test_mode={self.test_mode})')
