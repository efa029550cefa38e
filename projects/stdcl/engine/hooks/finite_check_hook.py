"""Stop a diverging run before it is saved."""
import math

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook

from ...utils.clip_check import require_finite

WAY_OUT = ('Training stops here. train.py --resume continues from the last '
           'checkpoint, if there is one. A smaller learning rate or clip_grad '
           'in optim_wrapper may help.')


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Hook that raises a ``FloatingPointError`` if numbers are not finite.

    The hook checks the losses after every step and the model before it is
    saved, so that training can resume from any checkpoint. In validation and
    testing, scores that are not finite raise an ``InputError``. The hook reads
    all scalars of a training step in one copy from the device, and passes the
    copies to the hooks that log them.
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook reads scalars one by one

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        """Copy the scalars to the CPU, all at once, and check the losses."""
        outputs = outputs or {}
        values = [torch.as_tensor(value).detach().reshape(())
                  for value in outputs.values()]
        if values:  # PyTorch promotes them to a common type
            outputs.update(zip(outputs, torch.stack(
                [value.to(values[0].device) for value in values]).cpu()))
        losses = {name: value for name, value in outputs.items()
                  if 'loss' in name}
        if all(map(math.isfinite, losses.values())):
            return
        values = ', '.join(f'{name} {value:g}'
                           for name, value in losses.items())
        raise FloatingPointError(
            f'Epoch {runner.epoch + 1}, batch {batch_idx + 1} of '
            f'{len(runner.train_dataloader)}: a loss is not finite '
            f'({values}), expected finite numbers. {WAY_OUT}')

    def after_val_iter(self, runner, batch_idx, outputs, **kwargs) -> None:
        """Check the scores, because NaN would count as class 0."""
        scores = []  # of one head or, in a dict, of several
        for sample in outputs:
            score = sample.get('pred_score')
            scores += score.values() if isinstance(score, dict) else [score]
        require_finite(f'batch {batch_idx + 1}',
                       *filter(torch.is_tensor, scores))

    after_test_iter = after_val_iter

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the parameters and buffers."""
        layers = [name for name, tensor in checkpoint['state_dict'].items()
                  if tensor.is_floating_point()
                  and not tensor.isfinite().all()]
        if layers:
            raise FloatingPointError(
                f'After epoch {runner.epoch + 1}, tensors of the model are '
                f'not finite ({", ".join(layers[:3])}; {len(layers)} in all), '
                'expected finite numbers. The model was not saved. '
                f'{WAY_OUT}')
