"""Sampler that yields a seed with each index."""
from collections import Counter
from collections.abc import Iterator

from mmaction.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ...utils.random_seed import derive_seed
from ..seeded_dataset import SeededDataset


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Sampler that pairs each index with a seed, for ``SeededDataset``.

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
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (seed, index)."""
        self.sampler.seed = self.seed
        skip, self.skip = self.skip, 0
        counts = Counter()  # of a sampler that draws an index several times
        for place, index in enumerate(self.sampler):
            again = [number] if (number := counts[index]) else []
            counts[index] += 1
            if place >= skip:
                yield derive_seed(self.seed, self.epoch, index, *again), index

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, counted from 0."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
