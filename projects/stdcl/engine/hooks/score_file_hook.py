"""Writes the scores of a test, to be fused with those of other trainings."""
import os
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import collect_results
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ...datasets.meta_keys import add_meta_key
from ...datasets.training_sequences import iter_leaf_datasets
from ...evaluation import score_file
from ...utils.input_error import InputError


@HOOKS.register_module()
class ScoreFileHook(Hook):
    """Writes name, label, logits and probabilities of each test sequence.

    The classifier's own output is watched, because data samples carry one
    kind of scores only. With several clips a sequence the logits are the mean
    over clips of the logits, the probabilities that of the clips' softmax.

    Args:
        path (str | Path): The file to write, ``*.npz``, in the form of
            :func:`projects.stdcl.evaluation.score_file.write`.
    """

    priority = 'VERY_LOW'  # the metrics are logged before anything can fail

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def before_test(self, runner) -> None:
        """Watch the classifier and make samples carry their name.

        Raises:
            ValueError: The pipeline of the test set packs no inputs.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)  # fails early
        deliver_names(runner.test_dataloader.dataset)
        self.rows = []  # (name, label, logits, probabilities)
        self.watch = _unwrapped(runner.model).cls_head.register_forward_hook(
            self._keep)

    def _keep(self, head, inputs, output: torch.Tensor) -> None:
        self.output = output  # (N * num_clips, num_classes)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None,
                        outputs=None) -> None:
        """Pair the classifier's output with the data samples.

        Args:
            outputs (list[ActionDataSample]): N samples.

        Raises:
            ValueError: The annotations have no ``frame_dir``.
        """
        clips = self.output.detach().float().cpu()
        clips = clips.unflatten(0, (len(outputs), -1))  # (N, clips, classes)
        logits = clips.mean(dim=1).numpy()
        probabilities = clips.softmax(dim=2).mean(dim=1).numpy()
        for sample, *scores in zip(outputs, logits, probabilities):
            name = sample.metainfo.get('frame_dir')
            if name is None:
                raise InputError(
                    'test_dataloader.dataset: an annotation has no '
                    '"frame_dir", and scores are written by name.')
            self.rows.append((name, _label(sample), *scores))

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Gather the sequences of all processes; the first of them writes."""
        self.watch.remove()
        dataset = runner.test_dataloader.dataset
        # in the order of the data set; sequences that pad are cut off
        rows = collect_results(self.rows, len(dataset))
        if rows is None:  # not the first process
            return
        names, labels, logits, probabilities = zip(*rows)
        classes = getattr(dataset, 'metainfo', {}).get('classes', ())
        if len(classes) not in (0, len(logits[0])):
            runner.logger.warning(
                f'The data set names {len(classes)} classes and the model '
                f'has {len(logits[0])}: {self.path} goes without names.')
            classes = ()
        score_file.write(score_file.Scores(
            self.path, names=np.array(names, dtype=np.str_),
            labels=np.array(labels), logits=np.stack(logits),
            probabilities=np.stack(probabilities), classes=classes,
            config=os.path.basename(runner.cfg.filename or ''),
            checkpoint=os.path.basename(runner._load_from or '')))
        runner.logger.info(f'Scores of {len(rows)} sequences are in '
                           f'{self.path}.')


def deliver_names(dataset) -> None:
    """Make every sample carry ``frame_dir`` in its metainfo.

    Args:
        dataset: A data set built from a config, wrapped or not.

    Raises:
        ValueError: A pipeline packs no inputs.
    """
    for part in iter_leaf_datasets(dataset):
        if hasattr(part, 'pipeline'):
            add_meta_key(part.pipeline, 'frame_dir')


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model


def _label(sample) -> int:
    """The class, or -1 where there is none or more than one."""
    labels = sample.gt_label.tolist() if 'gt_label' in sample else []
    return labels[0] if len(labels) == 1 else -1
