"""MMAction2's streams in the data pipeline, for any layout."""
from typing import Sequence, Union

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...models import SkeletonDataPreprocessor
from ...utils.input_error import InputError

STREAMS = dict(j='joint', b='bone', jm='joint-motion', bm='bone-motion')


@TRANSFORMS.register_module()
class FastGenSkeFeat(BaseTransform):
    """``GenSkeFeat`` in whole-array operations, for any layout.

    For pipelines written for MMAction2: the configs of this project make the
    stream in the model's data preprocessor. Motion differs between the two:
    here it is that of the sequence's own frames, there that of the frames
    chosen. The same in every epoch: name it in ``prepare``.

    Required and modified key: ``keypoint``, (M, T, V, C). A
    ``keypoint_score``, (M, T, V), becomes its last channel.

    Args:
        dataset (str | dict): The skeleton layout, as in ``SkeletonLayout``.
            Defaults to 'nturgb+d'.
        feats (sequence[str]): Streams: 'j', 'b', 'jm', 'bm'. Defaults to
            ('j', ).
        axis (int): The axis along which streams are joined. Defaults to -1.

    Raises:
        ValueError: A stream or the layout is unknown.
    """

    def __init__(self, dataset: Union[str, dict] = 'nturgb+d',
                 feats: Sequence[str] = ('j', ), axis: int = -1) -> None:
        self.dataset = dataset
        self.feats = feats
        self.axis = axis
        unknown = set(feats) - set(STREAMS)
        if unknown:
            raise InputError(f'FastGenSkeFeat: feats has {sorted(unknown)}, '
                             f'expected some of {", ".join(STREAMS)}.')
        self.makers = [SkeletonDataPreprocessor(dataset, STREAMS[name])
                       for name in feats]

    def transform(self, results: dict) -> dict:
        """Make the streams of ``results['keypoint']``."""
        keypoint = results['keypoint']
        if 'keypoint_score' in results:
            score = results.pop('keypoint_score')[..., None]
            keypoint = np.concatenate([keypoint, score], axis=-1)
        joints = torch.from_numpy(np.ascontiguousarray(keypoint))
        results['keypoint'] = np.concatenate(
            [maker.make_stream(joints).numpy() for maker in self.makers],
            axis=self.axis)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(dataset={self.dataset}, '
                f'feats={self.feats}, axis={self.axis})')
