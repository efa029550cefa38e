"""Data set wrapper and sampler that make augmentation reproducible."""
from collections import Counter
from collections.abc import Iterator

from mmaction.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Sampler

from ..utils.random_seed import derive_seed, seed_cpu


class SeededIndex(int):
    """An index that carries a seed, so that batch samplers can use it."""
    seed: int


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

    # read-only, because a new pipeline would lack what hooks have added
    metainfo = property(lambda self: self.dataset.metainfo)
    pipeline = property(lambda self: self.dataset.pipeline)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        """Return a sample. A ``SeededIndex`` determines its random draws."""
        if isinstance(index, SeededIndex):
            seed_cpu(index.seed)
        return self.dataset[int(index)]


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Sampler that adds a seed to each index, for ``SeededDataset``.

    The seed is a function of the run's seed, the epoch, the index and, if the
    process draws the index several times, the number of the draw.

    Args:
        sampler (dict): Config of the sampler that yields the indices. It
            receives the data set inside the ``SeededDataset`` and, in place
            of its own seed, the seed of the run.
        dataset: The data set of the loader, which the Runner supplies.
        seed (int): Seed of the run, the same in all processes.

    Attributes:
        seed (int): Seed of the run; resuming may change it.
        skip (int): Number of indices that only the next iteration skips,
            because the interrupted run has already used them. Initially 0.
    """

    def __init__(self, sampler: dict, dataset, seed: int) -> None:
        if isinstance(dataset, SeededDataset):
            dataset = dataset.dataset
        self.sampler = DATA_SAMPLERS.build(
            sampler, default_args=dict(dataset=dataset, seed=seed))
        self.dataset = dataset  # for batch samplers
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        self.sampler.seed = self.seed
        skip, self.skip = self.skip, 0
        counts = Counter()  # of a sampler that draws an index several times
        # A user's sampler may draw from these generators. Draw all indices at
        # once, because the steps in between change their state.
        seed_cpu(derive_seed(self.seed, self.epoch))
        for place, index in enumerate(map(int, list(self.sampler))):
            again = [counts[index]] if counts[index] else []
            counts[index] += 1
            if place >= skip:
                seeded = SeededIndex(index)
                seeded.seed = derive_seed(self.seed, self.epoch, index, *again)
                yield seeded

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, counted from 0."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
