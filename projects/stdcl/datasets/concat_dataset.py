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

    def __init__(self, datasets, lazy_init: bool = False,
                 ignore_keys=()) -> None:
        super().__init__(datasets, lazy_init, ['classes', *ignore_keys])
        own = traits(self)
        if own.get('classes'):  # the first data set may not name them
            self._metainfo = dict(self._metainfo, classes=own['classes'])
        check_traits(own, self, source='an earlier data set')
