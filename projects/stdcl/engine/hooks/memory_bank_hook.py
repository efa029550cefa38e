"""Set the size of the memory banks, and check them when a run resumes."""
from collections import Counter

from mmaction.registry import HOOKS
from mmengine.hooks import Hook

from ...datasets import dataset_access
from ...models import MemoryBank, STDCLMixin
from ...utils.checkpoint_file import name_loaded
from ...utils.input_error import InputError
from ...utils.model_parts import built_loops, find_modules, unwrap

FINGERPRINT = 'memory_bank_sequences'  # key in a checkpoint's meta


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Hook that connects the memory banks of a model with the training set.

    Before training, the hook sets the size of every bank, adds the index of
    each sequence to its samples, and tells the head the batch size.

    Only resuming restores the banks. An ``InputError`` is raised if those of
    the checkpoint are missing, or differ in size or list of sequences.
    """

    priority = 'VERY_HIGH'  # before other hooks that use the banks
    banks: dict[str, MemoryBank] = {}
    fingerprint = ''

    def before_run(self, runner) -> None:
        """Set the size of the banks if the run will train."""
        training = 'train' in built_loops(runner)
        self.banks = find_modules(runner.model, MemoryBank) if training else {}
        if not self.banks:
            return
        dataset = runner.train_dataloader.dataset
        workers = runner.train_dataloader.num_workers
        if workers and hasattr(runner.train_loop, 'dataloader_iterator'):
            raise InputError(
                f'train_dataloader.num_workers is {workers}, expected 0 (and '
                'persistent_workers=False), because the loop in train_cfg '
                'starts workers before sequences get an index.')
        num_sequences = dataset_access.add_indices(dataset)
        fingerprint, _ = dataset_access.summarize(dataset, samples=0)
        collate = runner.train_dataloader.collate_fn
        model, collate = unwrap(runner.model), getattr(
            collate, 'func', collate)  # inside a partial
        for head in find_modules(runner.model, STDCLMixin).values():
            own = [one for one in type(head).__mro__
                   if {'loss', 'contrast'} & vars(one).keys()]
            head.batch_size = getattr(runner.train_dataloader.batch_sampler,
                                      'batch_size', 0)
            # a test after training must not empty the banks
            if fingerprint != self.fingerprint:
                head.resize_banks(num_sequences, largest_class(
                    dataset, model, model.data_preprocessor, collate, *own))
        self.fingerprint = fingerprint
        slots = ' and '.join(str(len(bank)) for bank in self.banks.values())
        runner.logger.info(f'The memory banks have {slots} slots for '
                           f'{num_sequences} training sequences.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the fingerprint of the sequences that the banks belong to."""
        if self.banks:
            checkpoint['meta'][FINGERPRINT] = self.fingerprint

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the banks if the run resumes; otherwise remove them."""
        if not self.banks:  # FlexibleRunner loads before it calls before_run
            self.before_run(runner)
        state_dict = checkpoint.get('state_dict', checkpoint)
        prefixes = tuple(f'{name}.' for name in self.banks)
        found = [name for name in state_dict if name.startswith(prefixes)]
        if not runner._resume:
            for name in found:
                del state_dict[name]
            return
        file = name_loaded(runner)
        saved = {name: tuple(state_dict[name].shape) for name in found}
        own = {f'{name}.{part}': tuple(getattr(bank, part).shape)
               for name, bank in self.banks.items() for part in bank.STATE}
        if saved != own:
            raise InputError(
                f'{file} contains the memory banks {saved}, expected {own} '
                '(slots, features). Resume with the config and data of the '
                'interrupted run. To start from its weights, set load_from to '
                'this file and omit resume.')
        if self.banks and (
                checkpoint['meta'].get(FINGERPRINT) != self.fingerprint):
            raise InputError(
                f'{file}: the memory banks belong to a different list of '
                'training sequences (names, labels or order differ). Resume '
                'with the annotation file and split of the interrupted run.')


def largest_class(dataset, *batch_steps) -> int | None:
    """Return the number of sequences of the most frequent class.

    Return None if a transform or one of ``batch_steps``, which receive each
    batch, may change labels, because it is the user's own.
    """
    counts = Counter()
    for part, wrappers in dataset_access.unwrap_datasets(dataset):
        if dataset_access.may_change_labels((
                *batch_steps, part, *wrappers, *part.pipeline.transforms)):
            return None
        counts.update(str(label) for _, label
                      in dataset_access.names_and_labels(part))
    return max(counts.values(), default=None)
