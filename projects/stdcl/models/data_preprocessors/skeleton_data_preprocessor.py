"""A data preprocessor that computes the four streams."""
from typing import Optional, Union

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

from ...catalogue import STREAMS
from ...utils.input_error import InputError
from ...utils.skeleton_layout import SkeletonLayout


@MODELS.register_module()
class SkeletonDataPreprocessor(ActionDataPreprocessor):
    """Data preprocessor that turns joints into a stream.

    All streams share one data pipeline. To select a stream, set one config
    entry: ``model=dict(data_preprocessor=dict(stream='bone'))``. The stream is
    computed for a whole batch at once, on the device of the model:

    - ``joint``: the joints, unchanged;
    - ``bone``: each joint minus its parent;
    - ``joint-motion``, ``bone-motion``: the next frame minus the current one,
      and 0 in the last frame.

    If the data contain confidences (2D layouts with three channels), the
    confidence of a bone or a motion is the mean of the two confidences that it
    is computed from.

    >>> import torch
    >>> preprocessor = SkeletonDataPreprocessor('nw-ucla', stream='bone')
    >>> joints = torch.rand(4, 1, 1, 52, 20, 3)  # (N, num_clips, M, T, V, C)
    >>> preprocessor.make_stream(joints).shape
    torch.Size([4, 1, 1, 52, 20, 3])

    Args:
        layout (str | dict): The skeleton layout; see :class:`SkeletonLayout`.
        stream (str): A key of ``catalogue.STREAMS``. Defaults to 'joint'.
        center_relative (bool): Whether to subtract the center joint from the
            other joints of a frame in joint streams, and to keep joints
            without a parent, instead of setting them to zero, in bone streams.
            True in the code of Hyperformer and STD-CL. Defaults to False.
        append_joints (bool): Whether to append the coordinates of the joints
            to the channels of the stream, for encoders that take both
            (BlockGCN). Defaults to False.

    Raises:
        InputError: The stream is unknown, or the layout is unknown or invalid.
    """

    def __init__(self, layout: Union[str, dict], stream: str = 'joint',
                 center_relative: bool = False,
                 append_joints: bool = False) -> None:
        super().__init__()
        self._non_blocking = True  # copying a batch does not wait for the GPU
        if stream not in STREAMS:
            raise InputError(f'model.data_preprocessor.stream is "{stream}", '
                             f'expected one of {", ".join(STREAMS)}.')
        self.layout = SkeletonLayout.get(layout)
        self.stream = stream
        self.center_relative = center_relative
        self.append_joints = append_joints
        children, parents = zip(*self.layout.bones)
        # parent of each joint; a root is its own parent
        parent_of = torch.arange(self.layout.num_joints)
        parent_of[list(children)] = torch.tensor(parents)
        self.roots = sorted(set(range(self.layout.num_joints)) - set(children))
        self.register_buffer('parent_of', parent_of, persistent=False)

    def preprocess(self, inputs: list, data_samples: Optional[list],
                   training: bool = False) -> tuple:
        """Stack N inputs (num_clips, M, T, V, C) and compute their stream.

        Return the batch, (N, num_clips, M, T, V, C), and ``data_samples``.
        """
        inputs, data_samples = super().preprocess(inputs, data_samples,
                                                  training)
        return self.make_stream(inputs), data_samples

    def make_stream(self, joints: torch.Tensor) -> torch.Tensor:
        """Map joints (..., T, V, C) to a stream of the same shape.

        If ``append_joints`` is True, the coordinates of the joints follow as D
        additional channels. An ``InputError`` is raised if V is not the number
        of joints in the layout.
        """
        if joints.shape[-2] != self.layout.num_joints:
            raise InputError(
                f'The data contain {joints.shape[-2]} joints, but '
                f'model.data_preprocessor.layout "{self.layout.name}" has '
                f'{self.layout.num_joints}.')
        if self.stream.startswith('bone'):
            x = self._bones(joints)
        elif self.center_relative:
            x = self._relative(joints)
        else:
            x = joints
        if self.stream.endswith('motion'):
            x = self._motion(x)
        if self.append_joints:
            x = torch.cat([x, self._split_confidence(joints)[0]], dim=-1)
        return x

    def _split_confidence(self, x: torch.Tensor) -> tuple:
        """Return coordinates and confidences, the latter None if absent."""
        if self.layout.dims == 2 and x.shape[-1] == 3:
            return x[..., :2], x[..., 2:]
        return x, None

    def _bones(self, joints: torch.Tensor) -> torch.Tensor:
        xyz, confidence = self._split_confidence(joints)
        bones = xyz - xyz[..., self.parent_of, :]
        if self.center_relative:
            bones[..., self.roots, :] = xyz[..., self.roots, :]
        if confidence is None:
            return bones
        both = (confidence + confidence[..., self.parent_of, :]) / 2
        return torch.cat([bones, both], dim=-1)

    def _relative(self, joints: torch.Tensor) -> torch.Tensor:
        xyz, confidence = self._split_confidence(joints)
        center = self.layout.center
        relative = xyz - xyz[..., center:center + 1, :]
        relative[..., center, :] = xyz[..., center, :]
        if confidence is None:
            return relative
        return torch.cat([relative, confidence], dim=-1)

    def _motion(self, x: torch.Tensor) -> torch.Tensor:
        xyz, confidence = self._split_confidence(x)
        motion = torch.zeros_like(x)
        motion[..., :-1, :, :xyz.shape[-1]] = xyz.diff(dim=-3)
        if confidence is not None:
            motion[..., :-1, :, -1:] = (confidence[..., 1:, :, :]
                                        + confidence[..., :-1, :, :]) / 2
        return motion
