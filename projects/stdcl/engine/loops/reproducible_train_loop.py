"""A training loop whose resumed runs equal uninterrupted ones."""
from collections.abc import Sequence

import torch.nn as nn
from mmaction.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, set_random_seed

from ...datasets.seeded_dataset import SeededDataset, SeededSampler
from ...utils.random_seed import derive_seed


@LOOPS.register_module()
class ReproducibleTrainLoop(EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` without hidden random state.

    Given deterministic operations, a resumed run equals an uninterrupted one:

    - The augmentation of a sequence depends only on the seed, epoch, index and
      repetition; see ``SeededDataset`` and ``SeededSampler``.
    - Before each step, the random generators are seeded from the seed,
      iteration and rank, so its random numbers depend on nothing else.
    - A run that was interrupted within an epoch resumes in the middle of it.
      Any other resumed run starts with the validation of the last epoch,
      unless its checkpoint was saved after this validation.

    The arguments are those of the base class; ``dataloader`` is a config.
    """

    def __init__(self, runner, dataloader: dict, **kwargs) -> None:
        super().__init__(runner, dict(
            dataloader,
            dataset=dict(type=SeededDataset, dataset=dataloader['dataset']),
            sampler=dict(type=SeededSampler, sampler=dataloader['sampler'],
                         seed=seed_of(runner))), **kwargs)
        self.first_batch = 0  # above 0 to resume in the middle of an epoch

    def run(self) -> nn.Module:
        """Train and return the model."""
        try:
            # a new best score saves the checkpoint again during validation
            validated = self.runner.message_hub.runtime_info.get(
                'loop_stage') == 'val'
            self.runner.call_hook('before_train')
            if self._epoch > 0 and self.first_batch == 0 and not validated:
                self._validate_if_due()
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                self._validate_if_due()
            self.runner.call_hook('after_train')
        finally:  # PreemptionHook has replaced the signal handlers
            for hook in self.runner.hooks:
                if hasattr(hook, 'restore_handlers'):
                    hook.restore_handlers()
        return self.runner.model

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if (self.runner.val_loop is not None and self._epoch >= self.val_begin
                and (self._epoch % self.val_interval == 0
                     or self._epoch == self._max_epochs)):
            self.runner.val_loop.run()

    def run_epoch(self) -> None:
        """Run one epoch, or the rest of an interrupted one."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = self.dataloader.batch_sampler
        batches.sampler.seed = seed_of(self.runner)  # resuming may change it
        batches.sampler.set_epoch(self._epoch)
        first, self.first_batch = self.first_batch, 0
        # a batch sampler of the user may lack batch_size
        batches.sampler.skip = first * batches.batch_size if first else 0
        for index, data_batch in enumerate(self.dataloader, first):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Seed the random generators, and run one step."""
        set_random_seed(derive_seed(seed_of(self.runner), self._iter,
                                    get_rank()))
        super().run_iter(idx, data_batch)


def seed_of(runner) -> int:
    """Return the seed of the run, the same in all processes."""
    differs = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.seed - (get_rank() if differs else 0)
