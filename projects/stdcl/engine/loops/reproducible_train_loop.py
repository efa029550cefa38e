"""A training loop that goes on where it stopped, as if it had not."""
from typing import Sequence

import torch.nn as nn
from mmaction.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop

from ...utils.random_seed import derive_seed, seed_all


@LOOPS.register_module()
class ReproducibleTrainLoop(EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` without a hidden random state.

    - The augmentation of a sequence is a function of seed, epoch, index and
      repeat, whatever the number of workers and whatever was drawn before;
      see ``SeededDataset`` and ``SeededSampler``.
    - Before each step all generators are seeded by seed, iteration and rank,
      so dropout and random negatives depend on nothing else, such as a
      validation in between.
    - A resumed run starts in the middle of an epoch if it was stopped there,
      and first makes up for the validation that was due after the last epoch,
      of which a checkpoint knows nothing.

    So a run that is resumed equals one that was never interrupted.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Config of the data loader.
        **kwargs: As ``EpochBasedTrainLoop`` takes them.

    Attributes:
        first_batch (int): Number, from 0, of the batch that the next epoch
            starts with. Set to resume in the middle of an epoch; 0 after it.
    """

    def __init__(self, runner, dataloader: dict, **kwargs) -> None:
        super().__init__(runner, dict(
            dataloader,
            dataset=dict(type='SeededDataset', dataset=dataloader['dataset']),
            sampler=dict(type='SeededSampler', sampler=dataloader['sampler'],
                         seed=_seed(runner))), **kwargs)
        self.first_batch = 0

    @property
    def seed(self) -> int:
        """Seed of the run, the same in all processes."""
        return _seed(self.runner)

    def run(self) -> nn.Module:
        """Launch training; returns the model."""
        self.runner.call_hook('before_train')
        if self._epoch > 0 and self.first_batch == 0:  # resumed
            self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if (self.runner.val_loop is not None and self._epoch >= self.val_begin
                and (self._epoch % self.val_interval == 0
                     or self._epoch == self._max_epochs)):
            self.runner.val_loop.run()

    def run_epoch(self) -> None:
        """Iterate one epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = self.dataloader.batch_sampler
        batches.sampler.seed = self.seed  # that of the resumed run
        batches.sampler.skip = self.first_batch * batches.batch_size
        first, self.first_batch = self.first_batch, 0
        for index, data_batch in enumerate(self.dataloader, first):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Iterate one batch."""
        seed_all(derive_seed(self.seed, self._iter, get_rank()))
        super().run_iter(idx, data_batch)


def _seed(runner) -> int:
    differs = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.seed - (get_rank() if differs else 0)
