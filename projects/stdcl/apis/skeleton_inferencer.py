"""From skeletons to classes, in the style of MMEngine's inferencers."""
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
from mmaction.registry import INFERENCERS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.infer import BaseInferencer

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from ..visualization.draw_skeleton import (
    VIEWS,
    Animation,
    Panel,
    Segment,
    to_points,
    write_gif,
    write_html,
)
from .load_model import layout_of, load_model

# joints (T, V, C) or (M, T, V, C), alone or as an annotation's keypoint
Sequence_ = Union[np.ndarray, dict]
FORMATS = ('gif', 'html')


class Window(NamedTuple):
    """A part of a sequence, in frames."""
    start: int
    end: int  # the first that it has not


@INFERENCERS.register_module()
class SkeletonInferencer(BaseInferencer):
    """Tells the classes of skeleton sequences.

    Sequences go through the config's test pipeline. Long ones, in which one
    action follows another, are cut into windows that overlap; a frame then
    has the mean probabilities of the windows that it is in::

        inferencer = SkeletonInferencer('config.py', 'epoch_65.pth')
        result = inferencer(joints, window=60, stride=15)
        result['predictions'][0]['class_name']
        result['predictions'][0]['segments']

    Args:
        model (str | Config): Config, or the path of one. What a checkpoint
            holds is never executed.
        weights (str): Path or URL of the checkpoint.
        device (str, optional): Defaults to a GPU where there is one.
        show_progress (bool): Defaults to False.

    Raises:
        FileNotFoundError, pickle.UnpicklingError: The checkpoint is not there,
            or holds more than data.
        InputError: It does not fit the config.
    """

    preprocess_kwargs = {'window', 'stride'}
    visualize_kwargs = {'out_dir', 'format', 'names'}
    postprocess_kwargs = {'topk'}

    def __init__(self,
                 model: Union[str, Config],
                 weights: str,
                 device: Optional[str] = None,
                 show_progress: bool = False) -> None:
        if model is None:
            raise InputError(
                f'{type(self).__name__}: model is None, expected a config: '
                f'the one that {weights} may hold is not executed.')
        super().__init__(model, weights, device, 'mmaction', show_progress)
        self.classes = self.model.dataset_meta.get('classes') or ()
        steps = _steps(self.cfg)
        self.persons = next((step.get('num_person', 2) for step in steps
                             if step['type'] == 'FormatGCNInput'), None)
        self.needs_image = any(step['type'] == 'PreNormalize2D'
                               and 'img_shape' not in step for step in steps)

    def __call__(self, inputs: Union[Sequence_, List[Sequence_]],
                 return_datasamples: bool = False, batch_size: int = 16,
                 **kwargs) -> dict:
        """Tell the classes of one or more sequences.

        Args:
            inputs (ndarray | dict | list): Sequences. Each is an array of
                joints, (T, V, C) or, with persons, (M, T, V, C), or a dict as
                in an annotation file: ``keypoint``, and for two dimensions
                ``keypoint_score`` (M, T, V) and ``img_shape``.
            return_datasamples (bool): Whether predictions are MMAction2's
                data samples, one for each window. Defaults to False.
            batch_size (int): Windows at a time. Defaults to 16.
            window (int, optional): Frames of a window. Defaults to the whole
                sequence.
            stride (int, optional): Frames from one window to the next.
                Defaults to a quarter of a window.
            topk (int): Classes to name. Defaults to 5.
            out_dir (str, optional): Folder for pictures. Defaults to none.
            format (str): Their format, 'gif' or 'html'. Defaults to 'html'.
            names (list[str], optional): Names of the sequences, for the
                pictures and their files. Defaults to their numbers.

        Returns:
            dict: ``predictions``, for each sequence a dict with ``label``,
            ``class_name``, ``score`` (its probability), ``top`` (a list of
            the same for the best classes) and ``segments`` (a list of the
            same for each run of frames of one class, with ``start`` and
            ``end``, the first frame after it); and ``visualization``, the
            list of the files that were written.

        Raises:
            InputError: A sequence has another shape than expected, or numbers
                that are not finite.
        """
        return super().__call__(inputs, return_datasamples, batch_size,
                                **kwargs)

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu'):
        model = load_model(cfg, weights, device)
        model.cls_head.average_clips = 'prob'  # scores are probabilities
        return model

    def _init_pipeline(self, cfg: Config) -> Compose:
        return Compose(_steps(cfg))

    def _init_visualizer(self, cfg: Config) -> None:
        """None: :meth:`visualize` draws without MMEngine's."""

    def _inputs_to_list(self, inputs) -> List[dict]:
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        annotations = [_annotation(index, sequence)
                       for index, sequence in enumerate(inputs)]
        for index, annotation in enumerate(annotations):
            if self.needs_image and 'img_shape' not in annotation:
                raise InputError(
                    f'sequence {index} has no img_shape, expected (height, '
                    'width) of the images in which its joints were found, '
                    'for PreNormalize2D in the test pipeline; of '
                    'tools/demo.py: --img-shape HEIGHT WIDTH.')
        return annotations

    def preprocess(self, inputs: List[dict], batch_size: int = 1,
                   window: Optional[int] = None,
                   stride: Optional[int] = None) -> Iterator[Any]:
        """Cut sequences into windows and make batches of them."""
        if stride and window is None:
            raise InputError(f'stride is {stride} and window is None, '
                             'expected a window to go with it.')
        for name, frames in dict(window=window, stride=stride).items():
            if frames is not None and frames < 1:
                raise InputError(f'{name} is {frames}, expected 1 frame or '
                                 'more.')
        if window and stride and stride > window:
            raise InputError(f'stride is {stride} and window {window}, '
                             'expected a stride that leaves no frame out.')
        pieces = (self._piece(index, sequence, part)
                  for index, sequence in enumerate(inputs)
                  for part in cut(sequence['total_frames'], window, stride))
        yield from map(self.collate_fn,
                       self._get_chunk_data(pieces, batch_size))

    def _piece(self, index: int, sequence: dict, part: Window) -> dict:
        piece = dict(sequence, total_frames=part.end - part.start)
        for name in ('keypoint', 'keypoint_score'):
            if name in piece:
                piece[name] = piece[name][:, part.start:part.end].copy()
        if self.persons is not None and (
                len(piece['keypoint']) > self.persons):
            raise InputError(
                f'sequence {index} has {len(piece["keypoint"])} persons, '
                f'expected at most {self.persons} (num_person of '
                'FormatGCNInput in the test pipeline).')
        packed = self.pipeline(piece)
        channels = packed['inputs'].shape[-1]
        expected = self.cfg.model.backbone.get('in_channels', 3)
        if channels != expected:
            raise InputError(
                f'sequence {index}: a joint has {channels} channels after the '
                f'test pipeline, expected {expected} (in_channels of the '
                'backbone); of two dimensions the confidence is one.')
        packed['data_samples'].set_metainfo(dict(sequence=index, window=part))
        return packed

    def visualize(self, inputs: List[dict], preds: List[ActionDataSample],
                  out_dir: Optional[str] = None, format: str = 'html',
                  names: Optional[Sequence[str]] = None) -> List[str]:
        """Draw the sequences with what they were taken for."""
        if out_dir is None:
            return []
        names = names or [f'sequence-{index}' for index in range(len(inputs))]
        if format not in FORMATS:
            raise InputError(f'format is {format!r}, expected one of '
                             f'{", ".join(FORMATS)}.')
        if len(set(names)) != len(inputs) or any(
                Path(name).name != name for name in names):
            raise InputError(f'names are {", ".join(names)}, expected '
                             f'{len(inputs)} names of files, each another, '
                             'without folders.')
        files = []
        for name, sequence, predicted in zip(
                names, inputs, self._predictions(preds, topk=3)):
            animation = _animation(name, sequence, predicted, self.layout)
            path = Path(out_dir, f'{name}.{format}')
            if format == 'gif':
                write_gif(path, animation, self.layout, VIEWS['front'])
            else:
                write_html(path, name, [animation], self.layout,
                           VIEWS['front'])
            files.append(str(path))
        return files

    @property
    def layout(self) -> SkeletonLayout:
        """The joints and bones of a sequence."""
        return layout_of(self.model, self.cfg)

    def postprocess(self, preds: List[ActionDataSample],
                    visualization: List[str], return_datasample: bool = False,
                    topk: int = 5) -> dict:
        """Put the windows of each sequence together."""
        if topk < 1:
            raise InputError(f'topk is {topk}, expected 1 or more.')
        return dict(
            predictions=preds if return_datasample else self._predictions(
                preds, topk), visualization=visualization)

    def _predictions(self, preds: List[ActionDataSample],
                     topk: int) -> List[dict]:
        sequences: dict = {}
        for sample in preds:
            sequences.setdefault(sample.sequence, []).append(sample)
        return [self._prediction(
            torch.stack([sample.pred_score for sample in samples]).cpu(),
            [sample.window for sample in samples], topk)
            for samples in sequences.values()]

    def _prediction(self, scores: torch.Tensor, windows: List[Window],
                    topk: int) -> dict:
        """Of a sequence, from its windows' probabilities (W, classes)."""
        if not scores.isfinite().all():
            raise InputError('the scores are not finite, expected weights '
                             'that are.')
        of_frames = spread_over_frames(scores, windows)  # (T, classes)
        mean = scores.mean(dim=0)
        best = mean.topk(min(topk, len(mean))).indices.tolist()
        top = [self._named(label, mean[label]) for label in best]
        segments = [
            dict(start=run.start, end=run.end, **self._named(
                label, of_frames[run.start:run.end, label].mean()))
            for label, run in runs(of_frames.argmax(dim=1).tolist())]
        return dict(top[0], top=top, segments=segments)

    def _named(self, label: int, score: torch.Tensor) -> dict:
        known = label < len(self.classes)
        return dict(label=label, score=float(score), class_name=(
            self.classes[label] if known else f'class {label}'))


def cut(num_frames: int, window: Optional[int],
        stride: Optional[int]) -> List[Window]:
    """Windows over a sequence; the last one ends with it.

    Args:
        num_frames (int): T.
        window (int, optional): Frames of each; None: all.
        stride (int, optional): From one start to the next; None: a quarter
            of a window, at least 1.
    """
    if window is None or window >= num_frames:
        return [Window(0, num_frames)]
    last = num_frames - window
    starts = [*range(0, last, stride or max(1, window // 4)), last]
    return [Window(start, start + window) for start in starts]


def spread_over_frames(scores: torch.Tensor,
                       windows: List[Window]) -> torch.Tensor:
    """Mean over the windows that a frame is in.

    Args:
        scores (Tensor): Of each window, (W, classes).
        windows (list[Window]): In order. A frame between two windows has the
            scores of the one before.

    Returns:
        Tensor: Shape (T, classes), where T is the end of the last.
    """
    total = scores.new_zeros(windows[-1].end, scores.shape[1])
    count = scores.new_zeros(len(total), 1)
    for score, (start, end) in zip(scores, windows):
        total[start:end] += score
        count[start:end] += 1
    inside = torch.arange(len(total))[count[:, 0] > 0]  # frames, in order
    nearest = inside[torch.searchsorted(
        inside, torch.arange(len(total)), right=True) - 1]
    return (total / count)[nearest]


def runs(labels: List[int]) -> Iterator[tuple]:
    """(label, Window) of each run of equal labels."""
    start = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[start]:
            yield labels[start], Window(start, end)
            start = end


def _steps(cfg: Config) -> List[dict]:
    """All transforms of the test set, in order."""
    dataset = cfg.test_dataloader.dataset
    return [*dataset.get('prepare', ()), *dataset.pipeline]


def _annotation(index: int, sequence: Sequence_) -> dict:
    """A sequence as the pipeline takes it."""
    if not isinstance(sequence, dict):
        sequence = dict(keypoint=sequence)
    keypoint = np.asarray(sequence.get('keypoint'))
    if keypoint.dtype.kind not in 'fiu' or keypoint.ndim not in (3, 4) or (
            not keypoint.size):
        raise InputError(
            f'sequence {index}: keypoint has shape {keypoint.shape} and dtype '
            f'{keypoint.dtype}, expected numbers, (frames, joints, channels) '
            'or (persons, frames, joints, channels).')
    keypoint = keypoint.astype(np.float32).reshape(-1, *keypoint.shape[-3:])
    if not np.isfinite(keypoint).all():
        raise InputError(f'sequence {index}: keypoint has numbers that are '
                         'not finite.')
    return dict(sequence, keypoint=keypoint, total_frames=keypoint.shape[1],
                start_index=0, modality='Pose', test_mode=True)


def _animation(name: str, sequence: dict, predicted: dict,
               layout: SkeletonLayout) -> Animation:
    """A sequence with its prediction."""
    keypoint = sequence['keypoint']
    if 'keypoint_score' in sequence:
        keypoint = np.concatenate(
            [keypoint, sequence['keypoint_score'][..., None]], axis=-1)
    return Animation(
        name, predicted['class_name'],
        [Panel(f'{keypoint.shape[1]} frames', to_points(keypoint, layout))],
        note=', '.join(f'{one["class_name"]} {one["score"]:.0%}'
                       for one in predicted['top']),
        timeline=[Segment(one['start'], one['end'], one['class_name'])
                  for one in predicted['segments']])
