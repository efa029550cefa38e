"""A data preprocessor that computes the four streams."""
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

from ...catalogue import STREAMS
from ...utils.input_error import InputError, require_known
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

    If the data contain confidences (one channel after the coordinates), the
    confidence of a bone or a motion is the mean of the two confidences that it
    is computed from. If one of the two joints was not detected (its confidence
    is 0), the difference and its confidence are 0.

    Args:
        layout (str | dict): The skeleton layout; see :class:`SkeletonLayout`.
        stream (str): A key of ``catalogue.STREAMS``. Defaults to 'joint'.
        center_relative (bool): If True, joint streams subtract the center
            joint from the other joints of each frame, and bone streams keep
            the coordinates of joints without a parent instead of setting them
            to 0. If the center was not detected in a frame (its confidence is
            0), its position in the nearest frame is subtracted. The configs of
            Hyperformer and BlockGCN set it to True. Defaults to False.
        append_joints (bool): Whether to append the coordinates of the joints
            to the channels of the stream, for encoders that take both
            (BlockGCN). Defaults to False.

    Raises:
        InputError: ``stream`` is unknown, or ``layout`` is unknown or invalid.
    """

    def __init__(self, layout: str | dict, stream: str = 'joint',
                 center_relative: bool = False,
                 append_joints: bool = False) -> None:
        super().__init__()
        self._non_blocking = True  # copying a batch does not wait for the GPU
        require_known('model.data_preprocessor.stream', stream, STREAMS)
        self.layout = SkeletonLayout.get(layout)
        self.stream = stream
        self.center_relative = center_relative
        self.append_joints = append_joints
        children, parents = zip(*self.layout.bones)
        # parent of each joint; a root is its own parent
        joints = torch.arange(self.layout.num_joints)
        parent_of = joints.clone()
        parent_of[list(children)] = torch.tensor(parents)
        self.register_buffer('parent_of', parent_of, persistent=False)
        self.register_buffer('roots', joints[parent_of == joints], False)

    def preprocess(self, inputs: list, data_samples: list | None,
                   training: bool = False) -> tuple:
        """Stack N inputs of equal shape, and compute their stream.

        Return the batch, (N, num_clips, M, T, V, C), and ``data_samples``.
        """
        inputs, data_samples = super().preprocess(inputs, data_samples,
                                                  training)
        xyz, confidence = self._split_confidence(inputs)
        # A confidence is negative only if a transform took it for a
        # coordinate. In training, the check would wait for the GPU.
        if not training and confidence is not None and (
                (confidence < 0) & (xyz != 0)).any():
            raise InputError(
                'The layout is two-dimensional, but a transform normalized '
                'keypoint with 3 channels; expected 2 channels, and the '
                'confidence in keypoint_score.')
        return self.make_stream(inputs), data_samples

    def make_stream(self, joints: torch.Tensor) -> torch.Tensor:
        """Map joints (..., T, V, C) to a stream of the same shape.

        If ``append_joints`` is True, the coordinates of the joints are
        appended. An ``InputError`` is raised if V does not fit the layout.
        """
        if joints.shape[-2] != self.layout.num_joints:
            raise InputError(
                f'The data contain {joints.shape[-2]} joints, but the layout '
                f'"{self.layout.name}" has {self.layout.num_joints}. Set '
                'model.data_preprocessor.layout to the layout of your data.')
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
        """Return the coordinates and, if there are any, the confidences."""
        dims = self.layout.dims
        if x.shape[-1] == dims + 1:
            return x[..., :dims], x[..., dims:]
        return x, None

    def _subtract(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return x - other, or 0 where either joint was not detected."""
        xyz, confidence = self._split_confidence(x)
        others, confidences = self._split_confidence(other)
        if confidence is None:
            return xyz - others
        detected = (confidence > 0) & (confidences > 0)
        mean = (confidence + confidences) / 2
        return torch.cat([xyz - others, mean], dim=-1) * detected

    def _bones(self, joints: torch.Tensor) -> torch.Tensor:
        bones = self._subtract(joints, joints[..., self.parent_of, :])
        if self.center_relative:
            bones[..., self.roots, :] = joints[..., self.roots, :]
        return bones

    def _relative(self, joints: torch.Tensor) -> torch.Tensor:
        xyz, confidence = self._split_confidence(joints)
        joint = self.layout.center
        center = xyz[..., joint, :]  # (..., T, D)
        if confidence is not None:  # use the nearest frame that shows it
            lost = confidence[..., joint, 0] <= 0  # (..., T)
            frame = torch.arange(lost.shape[-1], device=lost.device)
            away = (frame[:, None] - frame).abs() + (
                len(frame) * lost[..., None, :])  # (..., T, T)
            nearest = away.argmin(dim=-1, keepdim=True)  # (..., T, 1)
            center = center.gather(-2, nearest.expand_as(center))
        relative = xyz - center[..., None, :]
        relative[..., joint, :] = xyz[..., joint, :]
        if confidence is None:
            return relative
        return torch.cat([relative * (confidence > 0), confidence], dim=-1)

    def _motion(self, x: torch.Tensor) -> torch.Tensor:
        moved = self._subtract(x[..., 1:, :, :], x[..., :-1, :, :])
        last = torch.zeros_like(x[..., :1, :, :])
        return torch.cat([moved, last], dim=-3)
