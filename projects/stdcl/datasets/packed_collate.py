"""Collation that workers can send to the training process quickly."""
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch.utils.data import get_worker_info


@FUNCTIONS.register_module('pseudo_collate', force=True)
def packed_collate(batch: list):
    """Collate as MMEngine's ``pseudo_collate``, but in two storages.

    A worker opens a connection for each storage that it sends. Therefore, the
    clips of a batch are views of one tensor, and so are single labels.
    """
    data = pseudo_collate(batch)
    if get_worker_info() is not None and isinstance(data, dict) and isinstance(
            data.get('inputs'), list):
        data['inputs'] = _pack(data['inputs'])
        samples = [item.get('data_samples') for item in batch]
        samples = [one for one in samples if isinstance(one, ActionDataSample)
                   and 'gt_label' in one and one.gt_label.numel() == 1]
        labels = _pack([sample.gt_label for sample in samples])
        for sample, label in zip(samples, labels):
            sample.gt_label = label
    return data


def _pack(values: list) -> list:
    same = all(map(torch.is_tensor, values)) and len(
        {(one.shape, one.dtype) for one in values}) == 1
    return list(torch.stack(values)) if same else values
