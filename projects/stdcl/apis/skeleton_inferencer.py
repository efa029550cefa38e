"""From skeletons to classes, in the style of MMEngine's inferencers."""
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
from mmaction.registry import INFERENCERS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.infer import BaseInferencer

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from ..visualization.skeleton_animation import (
    Animation,
    Panel,
    Segment,
    file_names,
    joints_of,
    to_points,
)
from ..visualization.skeleton_gif import write_gif
from ..visualization.skeleton_player import write_player
from ..visualization.views import VIEWS
from .load_model import layout_of, load_model
from .skeleton_file import read_skeleton_file
from .sliding_window import Window, cut, runs, spread_over_frames

Input = Union[str, Path, np.ndarray, dict]
FORMATS = ('gif', 'html')


@INFERENCERS.register_module()
class SkeletonInferencer(BaseInferencer):
    """Classifies skeleton sequences.

    Sequences pass through the config's test pipeline. Recordings of several
    actions are cut into overlapping windows; the probabilities of a frame are
    the mean over the windows that contain it::

        inferencer = SkeletonInferencer('config.py', 'epoch_65.pth')
        result = inferencer('day.npy', window=60, stride=15)
        result['predictions'][0]['class_name']
        result['predictions'][0]['segments']

    Args:
        model (str | Config): Config or its path. A config stored in the
            checkpoint is never executed.
        weights (str): Path or URL of the checkpoint.
        device (str, optional): Defaults to a GPU if there is one.
        show_progress (bool): Whether to show a progress bar. Defaults to
            False.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        InputError: The checkpoint does not fit the config.
        pickle.UnpicklingError: The checkpoint is refused or damaged.
    """

    preprocess_kwargs = {'window', 'stride', 'img_shape'}
    visualize_kwargs = {'out_dir', 'format'}
    postprocess_kwargs = {'topk'}

    def __init__(self,
                 model: Union[str, Config],
                 weights: str,
                 device: Optional[str] = None,
                 show_progress: bool = False) -> None:
        if model is None:
            raise InputError('model is None, expected a config: the one that '
                             f'{weights} may hold is not executed.')
        super().__init__(model, weights, device, 'mmaction', show_progress)
        self.classes = self.model.dataset_meta.get('classes') or ()
        self.layout: SkeletonLayout = layout_of(self.cfg)

    def __call__(self, inputs: Union[Input, List[Input]],
                 return_datasamples: bool = False, batch_size: int = 16,
                 **kwargs) -> dict:
        """Classify one or more sequences.

        Args:
            inputs (str | Path | ndarray | dict | list): Each sequence is a
                file that :func:`read_skeleton_file` reads, an array of joints
                (T, V, C) or (M, T, V, C), or an annotation: a dict with
                ``keypoint`` and, in two dimensions, ``keypoint_score``
                (M, T, V) and ``img_shape``.
            return_datasamples (bool): Whether to return MMAction2's data
                samples, one for each window. Defaults to False.
            batch_size (int): Number of windows in a batch. Defaults to 16.
            window (int, optional): Frames of a window. Defaults to the whole
                sequence.
            stride (int, optional): Frames from one window to the next.
                Defaults to a quarter of a window.
            img_shape (tuple, optional): Height and width of the images in
                which two-dimensional joints were found. Defaults to that of
                each annotation.
            topk (int): Number of classes to name. Defaults to 5.
            out_dir (str, optional): Folder for pictures. Defaults to none.
            format (str): Format of the pictures, 'gif' or 'html'. Defaults to
                'html'.

        Returns:
            dict: ``predictions``, for each sequence a dict with ``label``,
            ``class_name``, ``score`` (the probability), ``top`` (a list of
            these for the best classes) and ``segments`` (a list of these for
            each run of frames of one class, with ``start`` and ``end``, the
            first frame after it); and ``visualization``, the paths of the
            pictures.

        Raises:
            FileNotFoundError: A file does not exist.
            InputError: An option or a sequence is invalid.
        """
        return super().__call__(inputs, return_datasamples, batch_size,
                                **kwargs)

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu'):
        model = load_model(cfg, weights, device)
        model.cls_head.average_clips = 'prob'  # scores are probabilities
        return model

    def _init_pipeline(self, cfg: Config) -> Compose:
        dataset = cfg.test_dataloader.dataset
        # configs saved by earlier versions have "prepare"
        self.steps = [*dataset.get('prepare', ()), *dataset.pipeline]
        return Compose(self.steps)

    def _init_visualizer(self, cfg: Config) -> None:
        """MMEngine's visualizer is not used."""

    def _inputs_to_list(self, inputs) -> List[dict]:
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        return [_to_annotation(index, sequence, self.layout)
                for index, sequence in enumerate(inputs)]

    def preprocess(self, inputs: List[dict], batch_size: int = 1,
                   window: Optional[int] = None, stride: Optional[int] = None,
                   img_shape: Optional[Tuple[int, int]] = None
                   ) -> Iterator[Any]:
        """Cut sequences into windows and batch these."""
        for name, frames in dict(window=window, stride=stride).items():
            if frames is not None and frames < 1:
                raise InputError(f'{name} is {frames}, expected at least 1 '
                                 'frame.')
        if stride and stride > (window or 0):
            raise InputError(f'stride is {stride} and window is {window}, '
                             'expected a window of at least one stride.')
        if img_shape:
            inputs = [dict(sequence, img_shape=tuple(img_shape))
                      for sequence in inputs]
        pieces = (self._preprocess_window(index, sequence, part)
                  for index, sequence in enumerate(inputs)
                  for part in cut(sequence['total_frames'], window, stride))
        yield from map(self.collate_fn,
                       self._get_chunk_data(pieces, batch_size))

    def _preprocess_window(self, index: int, sequence: dict,
                           window: Window) -> dict:
        """Run the pipeline on a part of a sequence."""
        self._check(sequence)
        piece = dict(sequence, total_frames=window.end - window.start)
        for name in ('keypoint', 'keypoint_score'):
            if name in piece:
                piece[name] = piece[name][:, slice(*window)].copy()
        packed = self.pipeline(piece)
        channels = packed['inputs'].shape[-1]
        expected = self.cfg.model.backbone.get('in_channels', 3)
        if channels != expected:
            raise InputError(
                f'{sequence["frame_dir"]}: a joint has {channels} channels '
                f'after the test pipeline, expected {expected} (in_channels '
                'of the backbone). In two dimensions, the confidence is one.')
        packed['data_samples'].set_metainfo(dict(sequence=index,
                                                 window=window))
        return packed

    def _check(self, sequence: dict) -> None:
        """Raise InputError where the pipeline would drop or guess."""
        name = sequence['frame_dir']
        for step in self.steps:
            persons = step.get('num_person', 2)
            if step['type'] == 'FormatGCNInput' and (
                    len(sequence['keypoint']) > persons):
                raise InputError(
                    f'{name}: the sequence has {len(sequence["keypoint"])} '
                    f'persons, expected at most {persons} (num_person of '
                    'FormatGCNInput in the test pipeline).')
            if step['type'] == 'PreNormalize2D' and not (
                    'img_shape' in step or 'img_shape' in sequence):
                raise InputError(
                    f'{name}: img_shape is missing, expected the height and '
                    'width of the images in which the joints were found '
                    '(tools/demo.py: --img-shape HEIGHT WIDTH).')

    def visualize(self, inputs: List[dict], preds: List[ActionDataSample],
                  out_dir: Optional[str] = None,
                  format: str = 'html') -> List[str]:
        """Draw the sequences with their predictions."""
        if out_dir is None:
            return []
        if format not in FORMATS:
            raise InputError(f'format is {format!r}, expected one of '
                             f'{", ".join(FORMATS)}.')
        names = file_names([sequence['frame_dir'] for sequence in inputs])
        paths = [Path(out_dir, f'{name}.{format}') for name in names]
        for path, sequence, predicted in zip(
                paths, inputs, self._predictions(preds, topk=3)):
            animation = _animate(sequence, predicted, self.layout)
            if format == 'gif':
                write_gif(path, animation, self.layout, VIEWS['front'])
            else:
                write_player(path, path.stem, [animation], self.layout,
                             VIEWS['front'])
        return list(map(str, paths))

    def postprocess(self, preds: List[ActionDataSample],
                    visualization: List[str], return_datasample: bool = False,
                    topk: int = 5) -> dict:
        """Join the windows of each sequence."""
        if topk < 1:
            raise InputError(f'topk is {topk}, expected at least 1.')
        return dict(
            predictions=preds if return_datasample else self._predictions(
                preds, topk), visualization=visualization)

    def _predictions(self, preds: List[ActionDataSample],
                     topk: int) -> List[dict]:
        sequences: dict = {}
        for sample in preds:
            sequences.setdefault(sample.sequence, []).append(sample)
        return [self._predict(
            torch.stack([sample.pred_score for sample in samples]).cpu(),
            [sample.window for sample in samples], topk)
            for samples in sequences.values()]

    def _predict(self, scores: torch.Tensor, windows: List[Window],
                 topk: int) -> dict:
        """Prediction for a sequence, from its windows' (W, classes)."""
        if not scores.isfinite().all():
            raise InputError('the scores are not finite, expected finite '
                             'weights in the checkpoint.')
        of_frames = spread_over_frames(scores, windows)  # (T, classes)
        mean = scores.mean(dim=0)
        best = mean.topk(min(topk, len(mean))).indices.tolist()
        top = [self._name(label, mean[label]) for label in best]
        segments = [
            dict(start=run.start, end=run.end, **self._name(
                label, of_frames[run.start:run.end, label].mean()))
            for label, run in runs(of_frames.argmax(dim=1).tolist())]
        return dict(top[0], top=top, segments=segments)

    def _name(self, label: int, score: torch.Tensor) -> dict:
        known = label < len(self.classes)
        return dict(label=label, score=float(score), class_name=(
            self.classes[label] if known else f'class {label}'))


def _to_annotation(index: int, sequence: Input,
                   layout: SkeletonLayout) -> dict:
    """Convert a sequence to what the pipeline takes."""
    name = f'sequence-{index}'
    if isinstance(sequence, (str, Path)):
        name = Path(sequence).stem
        sequence = read_skeleton_file(Path(sequence), layout)
    elif not isinstance(sequence, dict):
        sequence = dict(keypoint=sequence)
    sequence = {'frame_dir': name, **sequence}
    keypoint = np.asarray(sequence.get('keypoint'))
    if keypoint.dtype.kind not in 'fiu' or keypoint.ndim not in (3, 4) or (
            not keypoint.size):
        raise InputError(
            f'{sequence["frame_dir"]}: keypoint has shape {keypoint.shape} '
            f'and dtype {keypoint.dtype}, expected numbers of shape (frames, '
            'joints, channels) or (persons, frames, joints, channels).')
    keypoint = keypoint.astype(np.float32).reshape(-1, *keypoint.shape[-3:])
    if not np.isfinite(keypoint).all():
        raise InputError(f'{sequence["frame_dir"]}: keypoint has values that '
                         'are not finite.')
    return dict(sequence, keypoint=keypoint, total_frames=keypoint.shape[1],
                start_index=0, modality='Pose', test_mode=True)


def _animate(sequence: dict, predicted: dict,
             layout: SkeletonLayout) -> Animation:
    """A sequence with its prediction."""
    points = to_points(joints_of(sequence), layout)
    return Animation(
        sequence['frame_dir'], predicted['class_name'],
        [Panel(f'{points.shape[1]} frames', points)],
        note=', '.join(f'{one["class_name"]} {one["score"]:.0%}'
                       for one in predicted['top']),
        timeline=[Segment(one['start'], one['end'], one['class_name'])
                  for one in predicted['segments']])
