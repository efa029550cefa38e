"""Augmentation that depends on the draw alone."""
from typing import Tuple, Union

from mmaction.registry import DATASETS

from ..utils.random_seed import seed_cpu


@DATASETS.register_module()
class SeededDataset:
    """Seeds the generators of the CPU for each draw of another data set.

    Transforms draw from the generators of the process they run in, so what a
    sequence gets would depend on the number of workers, and on all that was
    drawn before. Here ``SeededSampler`` hands out a seed with each index.

    Args:
        dataset (dict): Config of the other data set.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    @property
    def metainfo(self) -> dict:
        """The other data set's."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Union[int, Tuple[int, int]]) -> dict:
        """A sequence after the pipeline; by its index alone, not seeded."""
        if isinstance(draw, tuple):
            seed, draw = draw
            seed_cpu(seed)
        return self.dataset[draw]
