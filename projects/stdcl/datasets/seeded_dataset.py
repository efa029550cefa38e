"""Data set wrapper that makes augmentation reproducible."""
from mmaction.registry import DATASETS

from ..utils.random_seed import seed_cpu


@DATASETS.register_module()
class SeededDataset:
    """Wrapper that seeds the CPU's random generators before each sample.

    Transforms draw from the generators of their process. Without this wrapper,
    the augmentation of a sequence would depend on the number of workers and on
    all earlier draws. ``SeededSampler`` supplies a seed with each index.

    Args:
        dataset (dict | Dataset): Data set to wrap, or its config.
    """

    def __init__(self, dataset) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(
            dataset, dict) else dataset

    @property
    def metainfo(self) -> dict:
        """Metainfo of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: int | tuple[int, int]) -> dict:
        """Return a sample; ``draw`` is (seed, index), or an index alone."""
        if isinstance(draw, tuple):
            seed, draw = draw
            seed_cpu(seed)
        return self.dataset[draw]
