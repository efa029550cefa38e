"""Nonfinite losses and weights stop training and are never saved."""
import math
import re

import pytest
import torch
from torch.overrides import TorchFunctionMode

from projects.stdcl.engine.hooks import finite_check_hook as hook
from tests import tiny_run
from tests.commands import CONFIG, ROOT, TINY

READS = [getattr(torch.Tensor, name) for name in (
    'item', 'tolist', 'cpu', 'numpy', '__bool__', '__float__', '__int__',
    '__index__', 'nonzero')]
OPTIONS = ['--cfg-options', *TINY, 'train_cfg.max_epochs=3',
           'train_cfg.val_interval=9']


def leap(run, folder, step, factor, *options):
    """Train with a learning rate that jumps after a step, counted from 0."""
    (folder / 'leap.py').write_text(
        f"_base_ = '{ROOT / CONFIG}'\n"
        "param_scheduler = [dict(type='MultiStepLR', by_epoch=False, "
        f'milestones=[{step}], gamma={factor})]\n')
    return run('tools/train.py', 'leap.py', '--work-dir', folder, *OPTIONS,
               *options, cwd=folder, status=1)


def test_a_loss_that_is_not_finite(warm, tmp_path):
    """The loss overflows in the second epoch because the steps are huge."""
    done = leap(warm, tmp_path, 4, 1e25)
    said = re.search(
        r'Epoch 2, batch \d of 4: a loss .* \(loss (inf|nan|-inf), .*\), '
        r'expected .*\. Training stops here. train.py --resume continues',
        done.stderr)
    assert said, done.stderr[-2000:]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)[
        'state_dict']
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_weights_that_are_not_finite(warm, tmp_path):
    """The last step of an epoch overflows, although its loss is finite."""
    done = leap(warm, tmp_path, 3, 3e47,
                'optim_wrapper.optimizer.lr=1e-9',
                'model.cls_head.spatial_weight=1e6')
    assert re.search(
        r'After epoch 1, tensors of the model are not finite \(\S+, .* all\), '
        'expected finite numbers. .* not saved. Training stops here.',
        done.stderr), done.stderr[-2000:]
    assert not list(tmp_path.glob('*.pth*'))


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_only_the_loss_stops_training(value):
    outputs = dict(loss=torch.tensor(1e30), gradient_cosine=value)
    hook.FiniteCheckHook().after_train_iter(None, 0, outputs=outputs)
    # hooks of other projects expect a tensor
    assert outputs['loss'].item() == pytest.approx(1e30)


class Reads(TorchFunctionMode):
    """Mode that counts how often Python reads a tensor."""

    def __init__(self):
        super().__init__()
        self.count, self.copies = 0, []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        # stack_batch compares sizes, which are integers on the CPU
        if function in READS and args[0].is_floating_point():
            storage = args[0].untyped_storage().data_ptr()
            self.count += storage not in self.copies
            # on a GPU, cpu() would return a copy, which may be read
            self.copies += [storage] * (function is torch.Tensor.cpu)
        return function(*args, **(kwargs or {}))


def test_one_read_per_step(tmp_path, tiny_annotations):
    """A read makes the CPU wait for the GPU."""
    runner = tiny_run.run(tiny_run.tiny_config(
        tmp_path, tiny_annotations(), batch_size=8))
    reads, steps = Reads(), []
    step = runner.train_loop.run_iter

    def run_iter(*args):
        with reads:
            steps.append(step(*args))

    runner.train_loop.run_iter = run_iter
    runner.train()
    assert reads.count == len(steps) == 3
    scalars = runner.message_hub.log_scalars
    assert scalars['train/anchor_share'].current() > 0
