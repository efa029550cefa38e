"""Concatenation of data sets that have the same classes and joints."""
from mmaction.registry import DATASETS
from mmengine.dataset import dataset_wrapper

from .data_description import check_traits, traits


@DATASETS.register_module(force=True)
class ConcatDataset(dataset_wrapper.ConcatDataset):
    """MMEngine's ``ConcatDataset``, which also compares the joints.

    Classes or joints that differ in name or order raise an ``InputError``,
    which, unlike MMEngine's error, names the file.
    """

    def __init__(self, datasets, lazy_init=False, ignore_keys=None) -> None:
        ignored = [ignore_keys] if isinstance(ignore_keys, str) else (
            ignore_keys or ())
        super().__init__(datasets, lazy_init, ['classes', *ignored])
        own = traits(self)
        if own.get('classes'):  # the first data set may not name them
            self._metainfo = dict(self._metainfo, classes=own['classes'])
        check_traits(own, self, source='an earlier data set')
