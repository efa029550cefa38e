"""A sampler that gives each draw of a sequence a seed."""
from itertools import islice
from typing import Iterator, Tuple

from mmaction.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ...utils.random_seed import derive_seed
from ..seeded_dataset import SeededDataset


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Gives each index of another sampler a seed of its own.

    For ``SeededDataset``. The seed is a function of the run's, the epoch and
    the index; of a ``RepeatDataset`` each repeat has an index of its own.

    Args:
        sampler (dict): Config of the other sampler. It is given the data set
            that is in a ``SeededDataset``, and the run's seed, also in place
            of one of its own.
        dataset: The data set.
        seed (int): Seed of the run, the same in all processes.

    Attributes:
        seed (int): As above; may be set, for a resumed run.
        skip (int): Indices to leave out at the start of the next iteration,
            which a resumed run has seen. Defaults to 0.
    """

    def __init__(self, sampler: dict, dataset, seed: int) -> None:
        if isinstance(dataset, SeededDataset):
            dataset = dataset.dataset
        self.sampler = DATA_SAMPLERS.build(
            sampler, default_args=dict(dataset=dataset, seed=seed))
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        """Yield (seed, index)."""
        self.sampler.seed = self.seed
        skip, self.skip = self.skip, 0
        for index in islice(self.sampler, skip, None):
            yield derive_seed(self.seed, self.epoch, index), index

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0 on, of the next iteration."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
