"""MMAction2's ``FormatGCNInput`` with a check of the number of persons."""
from collections.abc import Sequence

import numpy as np
from mmaction.datasets import transforms
from mmaction.registry import TRANSFORMS

from ...utils.input_error import InputError
from ..annotation_check import name_of
from ..plain_annotation import ARRAYS
from .detected_joints import check_scores, find_detected


@TRANSFORMS.register_module(force=True)
class FormatGCNInput(transforms.FormatGCNInput):
    """``FormatGCNInput`` that raises an ``InputError`` for too many persons.

    MMAction2's class of the same name keeps the first ``num_person`` persons,
    even if they are absent. This class leaves out only absent persons.
    """

    def transform(self, results: dict) -> dict:
        """Map ``keypoint``, (M, T, V, C), to (num_clips, M', T', V, C)."""
        if 'keypoint_score' in results:  # a heatmap can be slightly negative
            check_scores('FormatGCNInput', results)
            results['keypoint_score'] = np.maximum(results['keypoint_score'],
                                                   0)
        if len(results['keypoint']) > self.num_person:
            results = fit_persons('FormatGCNInput', results, self.num_person)
        return super().transform(results)


def find_num_person(steps: Sequence) -> int | None:
    """Return ``num_person`` of a pipeline's ``FormatGCNInput``, or None."""
    return next((step.num_person for step in steps
                 if isinstance(step, transforms.FormatGCNInput)), None)


def fit_persons(where: str, annotation: dict, most: int | None) -> dict:
    """Move absent persons to the end, and leave out those beyond ``most``.

    Transforms take the first person as the main one. A person is absent if no
    joint was detected; see :func:`.find_detected`. ``annotation`` contains
    ``keypoint``, (M, T, V, C), and optionally ``keypoint_score``, (M, T, V).
    ``most`` is the largest number of persons, or None for no limit. If there
    are more, an ``InputError`` is raised, whose message starts with ``where``.
    """
    if most is None or len(annotation['keypoint']) == 1:
        return annotation
    there = find_detected(annotation)[1].any(axis=(1, 2))
    if there.sum() > most:
        raise InputError(
            f'{where}: sequence {name_of(annotation)} has {there.sum()} '
            f'persons, expected at most {most} (FormatGCNInput.num_person).')
    order = np.argsort(~there, kind='stable')[:most]
    return {**annotation, **{name: annotation[name][order] for name in ARRAYS
                             if name in annotation}}
