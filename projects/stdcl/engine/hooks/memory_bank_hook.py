"""Sizes the memory banks by the training set, and guards their resumption."""
from typing import Dict

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop

from ...datasets.training_sequences import TrainingSequences
from ...models import MemoryBank

FINGERPRINT = 'memory_bank_sequences'  # its name in a checkpoint's meta


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Connects the memory banks of a model with the training set.

    Before training: gives every bank one slot for each training sequence and
    makes the data pipeline deliver each sequence's index. A model without
    banks is left alone, and so is testing.

    Resuming restores the banks, and is refused where the checkpoint has none,
    or they are of another size or of another list of sequences. Loading for
    testing or fine-tuning passes over banks.
    """

    # before other hooks' before_run, and before checkpoints are loaded
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.banks: Dict[str, MemoryBank] = {}

    def before_run(self, runner) -> None:
        """Size the banks, if there will be training."""
        # the training loop is built before this only if there is training
        training = isinstance(runner._train_loop, BaseLoop)
        self.banks = _find_banks(runner.model) if training else {}
        if not self.banks:
            return
        sequences = TrainingSequences(runner.train_dataloader.dataset)
        sequences.deliver_indices()
        self.fingerprint = sequences.fingerprint()
        for bank in self.banks.values():
            # before a test that follows training they are full
            if len(bank) != len(sequences):
                bank.resize(len(sequences))
        runner.logger.info(f'Memory banks: {len(self.banks)} of '
                           f'{len(sequences)} slots each.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note which list of sequences the banks belong to."""
        if self.banks:
            checkpoint['meta'][FINGERPRINT] = self.fingerprint

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the banks of a checkpoint to be resumed; else drop them."""
        if runner._resume:
            self._check(checkpoint)
            return
        state_dict = checkpoint.get('state_dict', checkpoint)
        for name in self.banks:
            for tensor in ('features', 'labels'):
                state_dict.pop(f'{name}.{tensor}', None)

    def _check(self, checkpoint: dict) -> None:
        for name, bank in self.banks.items():
            saved = checkpoint['state_dict'].get(f'{name}.features')
            if saved is None:
                raise ValueError(
                    f'The checkpoint has no memory bank "{name}", so training '
                    'with STD-CL cannot resume from it. To start from its '
                    'weights, set load_from to it and leave resume out.')
            if saved.shape != bank.features.shape:
                raise ValueError(
                    f'The memory bank "{name}" of the checkpoint is '
                    f'{tuple(saved.shape)}, but the training set needs '
                    f'{tuple(bank.features.shape)} (sequences, features).')
        if self.banks and (
                checkpoint['meta'].get(FINGERPRINT) != self.fingerprint):
            raise ValueError(
                'The memory banks of the checkpoint belong to another list of '
                'training sequences (other names, labels or order) of the '
                'same length. Resume with the annotation file and split of '
                'the interrupted run.')


def _find_banks(model) -> Dict[str, MemoryBank]:
    model = model.module if is_model_wrapper(model) else model
    return {name: module for name, module in model.named_modules()
            if isinstance(module, MemoryBank)}
