"""Catches data that do not fit the model before training starts."""
import torch
from mmaction.registry import HOOKS
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper


@HOOKS.register_module()
class SkeletonCheckHook(Hook):
    """Holds the sizes of the data against those of the model.

    Without it a mismatch shows as "running_mean should contain 51 elements
    not 75" (MMAction2 issues 1438, 2060, 2141). The encoder is asked for
    ``graph.num_node``, ``in_channels`` and, where its batch norm runs over
    persons, for their number; what it does not have is not checked. The
    decoupler is tried on a sequence.
    """

    def before_train(self, runner) -> None:
        """Check a sequence of the training and of the validation set."""
        self._check(runner, 'train_dataloader')
        _try_decoupler(_unwrapped(runner.model),
                       runner.train_dataloader.dataset[0])
        if runner.val_loop is not None:
            self._check(runner, 'val_dataloader')

    def before_test(self, runner) -> None:
        """Check a sequence of the test set."""
        self._check(runner, 'test_dataloader')

    def _check(self, runner, name: str) -> None:
        model = _unwrapped(runner.model)
        dataset = getattr(runner, name).dataset
        # (num_clips, M, T, V, C)
        _, persons, _, joints, channels = dataset[0]['inputs'].shape
        for what, seen, part, expected, way_out in _expectations(
                model, persons, joints, channels):
            if seen != expected:
                raise ValueError(
                    f'{name}: the sequences have {seen} {what}, but '
                    f'{type(part).__name__} is built for {expected}. '
                    f'{way_out}')


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model


@torch.no_grad()
def _try_decoupler(model, sample: dict) -> None:
    """Run a sequence through encoder and decoupler, which checks its sizes."""
    if not hasattr(model.cls_head, 'decoupler'):
        return
    training = model.training
    model.eval()  # batch norm must not learn from it
    data = model.data_preprocessor(pseudo_collate([sample]))
    model.cls_head.decoupler(model.extract_feat(data['inputs'])[0])
    model.train(training)


def _expectations(model, persons: int, joints: int, channels: int):
    """Yield (what, number seen, part of the model, expected, way out)."""
    encoder, preprocessor = model.backbone, model.data_preprocessor
    layout = ('to the layout of your data: a name, or a dict with '
              'joint_names, edges and center.')
    if hasattr(preprocessor, 'layout'):
        yield ('joints', joints, preprocessor, preprocessor.layout.num_joints,
               f'Set model.data_preprocessor.layout {layout}')
    if not hasattr(encoder, 'graph') or not hasattr(encoder, 'in_channels'):
        return
    num_joints, in_channels = encoder.graph.num_node, encoder.in_channels
    yield ('joints', joints, encoder, num_joints,
           f'Set model.backbone.graph_cfg.layout {layout}')
    yield ('channels', channels, encoder, in_channels,
           f'Set model.backbone.in_channels={channels}.')
    if getattr(encoder, 'data_bn_type', None) == 'MVC':
        expected = encoder.data_bn.num_features // (num_joints * in_channels)
        yield ('persons', persons, encoder, expected,
               f'Set model.backbone.num_person={persons}, or num_person='
               f'{expected} of FormatGCNInput in the pipelines.')
