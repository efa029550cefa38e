"""Inference on skeleton sequences."""
import threading
from collections.abc import Sequence
from itertools import groupby, product
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device

from ..datasets.annotation_check import check_sequence
from ..datasets.plain_annotation import ARRAYS, add_missing_axes, to_plain
from ..datasets.transforms import format_gcn_input
from ..datasets.transforms.detected_joints import check_detected, find_detected
from ..datasets.transforms.pre_normalize_2d import PreNormalize2D, check_pixels
from ..utils import clip_check
from ..utils.config_check import load_config
from ..utils.input_error import InputError, require_known, require_positive
from ..utils.safe_files import PathLike
from ..utils.skeleton_layout import SkeletonLayout
from ..visualization.predictions import draw_predictions
from .clip_shape import find_test_set
from .load_model import find_vertical, layout_of, load_model
from .skeleton_file import read_skeleton_file
from .sliding_window import cut, spread_over_frames

LOCK = threading.Lock()
NOBODY = -1  # label of frames without detected joints
Input = str | Path | np.ndarray | dict


class SkeletonInferencer:
    """Inferencer that classifies skeleton sequences.

    Sequences pass through the test pipeline of the config. To recognize
    several actions in one recording, set ``window``: the recording is then
    cut into overlapping windows, and the probabilities of a frame are averaged
    over the windows that contain it::

        inferencer = SkeletonInferencer('config.py', 'epoch_65.pth')
        result = inferencer('day.npy', window=60, stride=15)
        result['predictions'][0]['class_name']
        result['predictions'][0]['segments']

    Args:
        model (str | Path | Config): Config or its path. A config stored in
            the checkpoint is never executed.
        weights (str | Path): Path or URL of the checkpoint.
        device (str, optional): Device of the model. Defaults to an
            accelerator if there is one, and to the CPU otherwise.
    """

    def __init__(self, model: PathLike | Config, weights: PathLike,
                 device: str | None = None) -> None:
        cfg = model if isinstance(model, Config) else load_config(model)
        self.model = load_model(cfg, weights, device or get_device())
        if getattr(self.model.cls_head, 'multi_class', False):
            raise InputError('model.cls_head.multi_class is True, expected '
                             'False: inference returns one class.')
        self.classes = self.model.dataset_meta['classes']
        self.layout = layout_of(cfg)
        self.up = find_vertical(cfg)[0]
        self.pipeline = Compose(find_test_set(cfg)['pipeline'])
        if not self.pipeline.transforms:
            raise InputError('test_dataloader.dataset.pipeline is missing '
                             'from the config, expected a list of transforms.')
        self.num_person = format_gcn_input.find_num_person(
            self.pipeline.transforms)

    @torch.inference_mode()
    def __call__(self, inputs: Input | list[Input],
                 window: int | None = None, stride: int | None = None,
                 img_shape: tuple[int, int] | None = None, topk: int = 5,
                 out_dir: PathLike | None = None, format: str = 'html',
                 batch_size: int = 16) -> dict:
        """Classify one or more sequences.

        Args:
            inputs (str | Path | ndarray | dict | list): One sequence or a
                list. A sequence is a path for :func:`read_skeleton_file`, an
                array of joints, (T, V, C) or (M, T, V, C), or an annotation: a
                dict with ``keypoint`` and, in two dimensions,
                ``keypoint_score`` (M, T, V) and ``img_shape``. In two
                dimensions, a third channel of the joints is the confidence.
            window (int, optional): Frames per window. Defaults to all frames.
            stride (int, optional): Number of frames between the starts of
                two windows. Defaults to a quarter of ``window``.
            img_shape (tuple, optional): Height and width in pixels of the
                images of 2D joints. Defaults to that of each annotation.
            topk (int): Number of classes in ``top``. Defaults to 5.
            out_dir (str | Path, optional): Folder for animations. Defaults to
                None, which draws none.
            format (str): Their format, 'gif' or 'html'. Defaults to 'html'.
            batch_size (int): Number of windows per batch. Defaults to 16.

        Returns:
            dict: ``visualization``, the paths of the GIFs or of the page, and
            ``predictions``, a list with one dict per sequence. It contains
            ``label``, ``class_name``, ``score`` (the probability), ``top``
            (the same three entries for each of the most probable classes) and
            ``segments`` (the same three entries for each run of frames of one
            class, and its ``start`` and ``end``, which is exclusive). If no
            window of a frame contains detected joints, its ``class_name`` is
            'nobody', and its ``label`` and ``score`` are None.

        Raises:
            FileNotFoundError: A file in ``inputs`` does not exist.
            InputError: ``window``, ``stride``, ``topk``, ``format``,
                ``batch_size`` or one of ``inputs`` is invalid.
        """
        require_positive('SkeletonInferencer', batch_size=batch_size,
                         window=1 if window is None else window,
                         stride=1 if stride is None else stride, topk=topk)
        if (stride or 1) > (window or 1):
            raise InputError(f'window is {window} and stride is {stride}, '
                             'expected 1 <= stride <= window.')
        require_known('format', format, ('gif', 'html'))
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        sequences = [_to_annotation(index, sequence, self.layout, img_shape)
                     for index, sequence in enumerate(inputs)]
        # the pipeline checks windows less strictly than whole sequences
        steps = self.pipeline.transforms if window is not None else ()
        for sequence, step in product(sequences, steps):
            shape = sequence.get('img_shape', getattr(step, 'img_shape', None))
            if isinstance(step, PreNormalize2D) and shape is not None:
                check_pixels(sequence['frame_dir'], sequence, shape)
        windows = [cut(find_detected(sequence)[1].any(axis=(0, 2)), window,
                       stride) for sequence in sequences]
        pieces = [(sequence, part) for sequence, parts
                  in zip(sequences, windows) for part in parts]
        scores, predictions, start = self._score(pieces, batch_size), [], 0
        for sequence, parts in zip(sequences, windows):
            own = torch.stack(scores[start:start + len(parts)])
            predictions.append(self._predict(sequence, own, parts, topk))
            start += len(parts)
        paths = draw_predictions(sequences, predictions, self.layout, Path(
            out_dir), format, self.up) if out_dir else []
        return dict(predictions=predictions, visualization=paths)

    def _score(self, pieces: Sequence[tuple[dict, slice]],
               batch_size: int) -> list[torch.Tensor]:
        """Return the class probabilities (classes,) of each window."""
        scores = []
        for start in range(0, len(pieces), batch_size):
            batch = [self._preprocess(*piece)
                     for piece in pieces[start:start + batch_size]]
            clip_check.require_equal_shapes('SkeletonInferencer', [
                packed['inputs'] for packed in batch])
            scores += [sample.pred_score.float().cpu() for sample
                       in self.model.test_step(pseudo_collate(batch))]
        return scores if self.model.cls_head.average_clips != 'score' else [
            logits.softmax(dim=-1) for logits in scores]

    def _preprocess(self, sequence: dict, window: slice) -> dict:
        """Run the test pipeline on one window of a sequence."""
        piece = dict(sequence, total_frames=window.stop - window.start)
        piece['is_window'] = piece['total_frames'] < sequence['total_frames']
        for name in ARRAYS.keys() & piece.keys():
            piece[name] = piece[name][:, window].copy()
        with LOCK:  # transforms seed NumPy's generator and draw from it
            state = np.random.get_state()
            try:
                packed = self.pipeline(format_gcn_input.fit_persons(
                    'SkeletonInferencer', piece, self.num_person))
            except IndexError as error:  # such as too few joints
                raise InputError(
                    f'{sequence["frame_dir"]}: the number of joints is '
                    f'{piece["keypoint"].shape[2]}: {error}. The data must '
                    'have the form of the training data.') from error
            finally:
                np.random.set_state(state)
        clip_check.check_shape(self.model, packed['inputs'].shape[1:],
                               sequence['frame_dir'], trained=True)
        return packed

    def _predict(self, sequence: dict, scores: torch.Tensor,
                 windows: list[slice], topk: int) -> dict:
        """Summarize the scores (W, classes) of the windows of a sequence."""
        clip_check.require_finite(sequence['frame_dir'], scores)
        of_frames = spread_over_frames(  # (T, classes)
            scores, windows, sequence['total_frames'])
        labels = of_frames.argmax(dim=1)
        labels[of_frames.isnan().any(dim=1)] = NOBODY
        mean = scores.mean(dim=0)
        best = mean.topk(min(topk, len(mean))).indices.tolist()
        top = [self._name(label, mean[label]) for label in best]
        segments, start = [], 0
        for label, group in groupby(labels.tolist()):
            end = start + len([*group])
            segments.append(dict(start=start, end=end, **self._name(
                label, of_frames[start:end, label].mean())))
            start = end
        return dict(top[0], top=top, segments=segments)

    def _name(self, label: int, score: torch.Tensor) -> dict:
        if label == NOBODY:
            return dict(label=None, score=None, class_name='nobody')
        name = (self.classes[label] if label < len(self.classes)
                else f'class {label}')
        return dict(label=label, score=float(score), class_name=name)


def _to_annotation(index: int, sequence: Input, layout: SkeletonLayout,
                   img_shape: tuple[int, int] | None) -> dict:
    """Convert an input to an annotation for the pipeline."""
    name = f'sequence-{index}'
    if isinstance(sequence, (str, Path)):
        name = Path(sequence).stem
        sequence = read_skeleton_file(Path(sequence), layout)
    elif not isinstance(sequence, dict):
        sequence = dict(keypoint=sequence)
    sequence = {'frame_dir': name, **sequence}
    sequence.pop('label', None)  # inference does not need it
    if img_shape is not None:
        sequence['img_shape'] = img_shape
    sequence = add_missing_axes(sequence)
    sequence.update(start_index=0, modality='Pose', test_mode=True)
    check_sequence('SkeletonInferencer', sequence, one_label=False)
    sequence = to_plain(sequence, layout, sequence['frame_dir'])
    check_detected(sequence['frame_dir'], sequence)
    return sequence
