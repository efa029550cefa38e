"""Check that the data fit the model before training or testing starts."""
from copy import deepcopy
from functools import partial
from numbers import Integral

import torch
from mmaction.models import RecognizerGCN
from mmaction.models.heads import BaseHead
from mmaction.registry import HOOKS
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from ...datasets import data_description as description
from ...datasets import dataset_access
from ...datasets.plain_annotation import to_plain
from ...utils import clip_check
from ...utils.input_error import InputError
from ...utils.model_parts import built_loops, graphs_of, unwrap
from .checkpoint_fit_hook import CheckpointFitHook


@HOOKS.register_module()
class SkeletonCheckHook(Hook):
    """Hook that checks whether the data fit the model.

    The hook compares the joints, channels, frames and persons of a sequence
    with the model, and the labels with ``num_classes``. Before training, it
    also compares the classes and the preprocessing of the data sets, and runs
    the model on one sequence. Shapes are only compared for a
    ``RecognizerGCN``. The ``InputError`` says what to change.
    MMAction2's errors are unclear (issues 1438, 2060 and 2141).
    """

    trained = False

    def before_run(self, runner) -> None:
        """Prepare :meth:`_initialize`, which only ``train`` calls."""
        for second in [hook for hook in runner.hooks
                       if type(hook) is SkeletonCheckHook][1:]:
            runner.hooks.remove(second)  # configs with STD-CL register two
        if isinstance(runner, Runner):
            runner._init_model_weights = partial(self._initialize, runner)

    def _initialize(self, runner) -> None:
        """Initialize all weights; then reload what ``val`` had loaded."""
        if runner._has_loaded and not self.trained:
            if not (runner._resume or runner._load_from):
                raise InputError(
                    'a checkpoint was loaded before train(), which overwrites '
                    'its weights; set load_from or resume of the Runner.')
            runner._has_loaded = False
        graphs = deepcopy(graphs_of(unwrap(runner.model)))
        type(runner)._init_model_weights(runner)
        # init_cfg of type Pretrained loads those of another layout
        unwrap(runner.model).load_state_dict(graphs, strict=False)

    def before_train(self, runner) -> None:
        """Check the training and validation sets."""
        self.trained = True
        model, dataset = unwrap(runner.model), runner.train_dataloader.dataset
        if not len(runner.train_dataloader):
            raise InputError(
                'train_dataloader yields 0 batches per epoch, expected at '
                f'least one. Each process has fewer sequences ({len(dataset)} '
                'in all processes) than batch_size. Reduce batch_size.')
        kind = type(getattr(runner, 'strategy', None)).__name__
        if kind in ('DeepSpeedStrategy', 'FSDPStrategy'):
            raise InputError(f'strategy.type is {kind}, expected DDPStrategy.')
        check_loader(model, runner.train_dataloader, 'train_dataloader')
        description.check_layouts(model)
        trained_on = self._describe(runner)
        description.check_traits(trained_on, dataset, 'train_dataloader')
        if isinstance(model, RecognizerGCN) and model.with_cls_head:
            batch = pseudo_collate([dataset[0]])
            self._before_iter(runner, 0, batch)
            _try_model(model, batch)
        if runner.val_loop is not None:
            check_loader(model, runner.val_dataloader, 'val_dataloader')
            description.check_data(
                trained_on, runner.val_dataloader.dataset, 'val_dataloader')
        description.check_traits(trained_on, runner._test_dataloader,
                                 'test_dataloader')

    def before_val(self, runner) -> None:
        """Check the validation set, unless ``before_train`` did."""
        if 'train' not in built_loops(runner):
            check_loader(unwrap(runner.model), runner.val_dataloader,
                         'val_dataloader')

    def before_test(self, runner) -> None:
        """Check the test set."""
        check_loader(unwrap(runner.model), runner.test_dataloader,
                     'test_dataloader')
        # CheckpointFitHook checks the data if the model is from a checkpoint
        if 'train' in built_loops(runner):
            description.check_data(
                self._describe(runner), runner.test_dataloader.dataset,
                'test_dataloader')

    def _before_iter(self, runner, batch_idx: int, data_batch=None,
                     mode: str = 'train') -> None:
        """Check that the clips of a batch have the same shape."""
        clip_check.require_equal_shapes(
            f'{mode}_dataloader, batch {batch_idx + 1}', data_batch['inputs'])

    def _describe(self, runner) -> dict:
        earlier = next((hook.earlier for hook in runner.hooks
                        if isinstance(hook, CheckpointFitHook)), ())
        return description.describe(
            unwrap(runner.model), runner.train_dataloader.dataset, earlier)


def check_loader(model, loader, name: str) -> None:
    """Check the labels and one sequence of each data set of a loader."""
    head = getattr(model, 'cls_head', None)
    average = getattr(head, 'average_clips', 'prob')
    if name != 'train_dataloader' and average not in ('prob', 'score'):
        raise InputError('model.cls_head.average_clips is '
                         f'{average!r}, expected "prob" or "score".')
    for part, wrappers in dataset_access.unwrap_datasets(loader.dataset):
        where = f'{name}: {getattr(part, "ann_file", "")}'.rstrip(': ')
        transforms = dataset_access.transforms_of(part, *wrappers)
        outer = Compose(dataset_access.transforms_of(*wrappers))
        layout = getattr(model.data_preprocessor, 'layout', None)
        if layout and not dataset_access.may_change_labels(
                (part, *transforms)):  # own transforms may change the channels
            to_plain(part.get_data_info(0), layout, where)
        stream = getattr(model.data_preprocessor, 'stream', 'joint')
        if stream != 'joint' and description.feature_transforms(transforms):
            raise InputError(f'{where}: stream is {stream}, expected joint: '
                             'the pipeline also computes bones or motion.')
        sample = outer(part[0])
        if 'inputs' not in sample:
            raise InputError(f'{where}: the pipeline returns no inputs, '
                             'expected PackActionInputs as its last step.')
        inputs = sample['inputs'].nan_to_num()
        number = getattr(head, 'num_classes', None)
        if isinstance(part, BaseDataset) and isinstance(number, Integral):
            _check_labels(where, part, transforms, outer, number)
        if name != 'train_dataloader' and not inputs.equal(
                outer(part[0])['inputs'].nan_to_num()):
            MMLogger.get_current_instance().warning(
                f'{where}: the pipeline is random, so the metrics change '
                'from run to run. Set test_mode=True in the transform '
                'that samples frames, and remove random transforms.')
        if isinstance(model, RecognizerGCN):
            clip_check.check_shape(  # inputs are (num_clips, M, T, V, C)
                model, inputs.shape[1:], where, name == 'test_dataloader')


def _check_labels(where: str, dataset: BaseDataset, transforms: list,
                  outer: Compose, number: int) -> None:
    """Raise an ``InputError`` if a label is not from 0 to ``number`` - 1."""
    first = {}  # label out of range -> index and name of its first sequence
    for index, (name, label) in enumerate(
            dataset_access.names_and_labels(dataset)):
        if isinstance(label, Integral) and not 0 <= label < number:
            first.setdefault(label, (index, name))
    for label, (index, name) in first.items():
        if dataset_access.may_change_labels(transforms):
            seen = outer(dataset[index])['data_samples'].gt_label
            if ((seen >= 0) & (seen < number)).all():
                continue
        raise InputError(
            f'{where}: sequence {name}: label is {label}, expected 0 to '
            f'{number - 1} because model.cls_head.num_classes is {number}.')


@torch.no_grad()
def _try_model(model, batch: dict) -> None:
    """Run one sequence through the encoder, classifier and decoupler."""
    training, head = model.training, model.cls_head
    model.eval()  # batch norm must not learn from the sequence
    data = model.data_preprocessor(batch)
    feats, arguments = model.extract_feat(data['inputs'])  # (1, M, C, T, V)
    clip_check.check_features(model, feats, len(batch['inputs'][0][0]))
    scores = head(feats, **arguments)
    try:
        # other heads may expect other arguments, and other losses a batch
        if (getattr(type(head), 'loss_by_feat', 0) == BaseHead.loss_by_feat
                and type(head.loss_cls).__module__.startswith('mmaction.')):
            head.loss_by_feat(scores, data['data_samples'])
    except (IndexError, RuntimeError, ValueError) as error:
        advice = '' if len(scores) == 1 else (
            f' with {len(scores)} clips (expected num_clips=1)')
        raise InputError('model.cls_head: the loss of a training sequence'
                         f'{advice} fails: {error}') from error
    try:
        if hasattr(head, 'decoupler'):
            clip_check.try_decoupler(head, feats)
    except InputError as error:
        built = getattr(model, 'clip_shape', None)
        built = built and tuple(built)
        shape = tuple(batch['inputs'][0].shape[1:])
        raise InputError(error if built in (None, shape) else (
            f'model.clip_shape is {built}, expected {shape}, the shape '
            'of the clips in train_dataloader.')) from error
    model.train(training)
