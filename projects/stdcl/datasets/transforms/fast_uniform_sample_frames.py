"""Faster version of MMAction2's ``UniformSampleFrames``."""
import numpy as np
from mmaction.datasets.transforms import UniformSampleFrames
from mmaction.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FastUniformSampleFrames(UniformSampleFrames):
    """Faster version of ``UniformSampleFrames`` with the same random draws.

    Unlike MMAction2's class, this class does not search all frames for changes
    in the number of persons (which has no effect), and in test mode, it does
    not seed NumPy's global generator (which makes augmentations repeat).

    The arguments are those of MMAction2's class. Required key:
    ``total_frames``. Added keys: ``frame_inds`` (num_clips * clip_len indices,
    int32), ``clip_len``, ``frame_interval`` (None) and ``num_clips``.
    """

    def transform(self, results: dict) -> dict:
        """Choose the frame indices."""
        state = np.random.get_state() if self.test_mode else None
        # without keypoint, MMAction2's class does not search for persons
        results.update(super().transform({
            name: results[name] for name in ('total_frames', 'start_index')
            if name in results}))
        if state:
            np.random.set_state(state)
        return results
