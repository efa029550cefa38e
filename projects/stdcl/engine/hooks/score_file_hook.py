"""Write the scores of a test, for fusion with the scores of other runs."""
import os
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import collect_results
from mmengine.hooks import Hook

from ...datasets.dataset_access import carry_names
from ...evaluation import score_file
from ...utils.input_error import InputError
from ...utils.model_parts import unwrap


@HOOKS.register_module()
class ScoreFileHook(Hook):
    """Hook that writes the scores of all test sequences to a file.

    A metric receives only one kind of score, so the hook reads the output of
    the classifier. ``path`` is the ``*.npz`` file; :class:`.Scores` lists its
    fields. A sequence without name or with several labels raises InputError.
    """

    priority = 'VERY_LOW'  # if writing fails, the metrics are already logged

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def before_test(self, runner) -> None:
        """Start recording the logits, and add names to the samples."""
        carry_names(runner.test_dataloader.dataset)
        self.rows = []  # (name, label, logits, probabilities)
        self.model = unwrap(runner.model)
        self.handle = self.model.cls_head.register_forward_hook(self._keep)

    def _keep(self, head, inputs, output: torch.Tensor) -> None:
        self.output = output  # (N * num_clips, num_classes)

    def after_test_iter(self, runner, outputs: list, **kwargs) -> None:
        """Store the scores of the N sequences of a batch."""
        clips = self.output.detach().float().cpu()
        clips = clips.unflatten(0, (len(outputs), -1))  # (N, clips, classes)
        logits = clips.mean(dim=1).numpy()
        probabilities = clips.softmax(dim=2).mean(dim=1).numpy()
        for sample, *scores in zip(outputs, logits, probabilities):
            if 'frame_dir' not in sample.metainfo:
                raise InputError(
                    'test_dataloader.dataset: an annotation contains no '
                    '"frame_dir", expected the name of the sequence.')
            label = torch.as_tensor(sample.get('gt_label', -1))
            if label.numel() != 1:
                raise InputError(
                    'test_dataloader.dataset: a sequence has several labels, '
                    'expected one. Use --dump with a *.pkl file.')
            self.rows.append((sample.metainfo['frame_dir'], int(label),
                              *scores))

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Gather the sequences of all processes and write the file."""
        self.handle.remove()
        dataset = runner.test_dataloader.dataset
        # restores the order of the data set and drops the sampler's padding
        rows = collect_results(self.rows, len(dataset))
        if rows is None:  # not the main process
            return
        names, labels, logits, probabilities = map(np.array, zip(*rows))
        classes = getattr(dataset, 'metainfo', {}).get('classes', ())
        score_file.write(score_file.Scores(
            self.path, names, labels, logits, probabilities,
            classes if len(classes) == logits.shape[1] else (),
            stream=getattr(self.model.data_preprocessor, 'stream', ''),
            config=os.path.basename(runner.cfg.filename or ''),
            checkpoint=os.path.basename(runner._load_from or '')))
        runner.logger.info(
            f'Wrote the scores of {len(rows)} sequences to {self.path}.')
