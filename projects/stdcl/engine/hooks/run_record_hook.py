"""Record the setup and the results of a training run."""
import json
import math
import os
import time
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.hooks.runtime_info_hook import _is_scalar

from ...utils import environment
from ...utils.atomic_write import atomic_write
from ...utils.input_error import InputError


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Hook that writes ``run.json`` to the work directory after each epoch.

    The file contains the config, commit, package versions, machine and seed,
    and, for each epoch, the means of the training scalars, the validation
    metrics and the duration in seconds. The duration of an interrupted epoch
    is the time since resuming. A resumed run extends the record; ``resumed``
    then contains the setup of each earlier part. ``clean`` is True if the code
    had no local changes.
    """

    priority = 'LOW'  # after the hooks that log, before checkpoints

    def before_train(self, runner) -> None:
        """Record the setup of the run."""
        self._path = Path(runner.work_dir, 'run.json')
        config = json.loads(json.dumps(runner.cfg.to_dict(), default=str,
                                       skipkeys=True))
        config['randomness'] = {**config.get('randomness', {}),
                                'seed': runner.seed}
        self.record = dict(
            config_file=os.path.basename(runner.cfg.filename or ''),
            config=config, **environment.current_commit(),
            versions=environment.package_versions(),
            machine=environment.machine_kind(),
            processes=runner.world_size, seed=runner.seed)
        self.epochs = []
        # a checkpoint from another folder continues the record of that folder
        source = runner.cfg.get('load_from')
        path = Path(source or self._path).resolve().with_name('run.json')
        if path.parent.name == self._path.parent.name and not path.is_file():
            path = self._path  # the checkpoints are in out_dir
        if runner.iter and path.is_file():  # the run was resumed
            earlier = read_record(path)
            self.epochs = [item for item in earlier['epochs']
                           if item['epoch'] <= runner.epoch]
            self.record['resumed'] = [*earlier.get('resumed', []), dict(
                epoch=runner.epoch, **{
                    name: earlier.get(name) for name in (
                        'config', 'commit', 'clean', 'seed', 'processes',
                        'machine', 'versions')})]
        self._write()

    def before_train_epoch(self, runner) -> None:
        """Start timing the epoch."""
        self.started = time.monotonic()

    def after_train_epoch(self, runner) -> None:
        """Record the means of the epoch's training scalars."""
        steps = len(runner.train_dataloader)
        scalars = {
            name[len('train/'):]: float(buffer.mean(steps))
            for name, buffer in runner.message_hub.log_scalars.items()
            if name.startswith('train/') and 'time' not in name
            and math.isfinite(buffer.mean(steps))}  # float16 may overflow
        if getattr(runner.optim_wrapper, '_accumulative_counts', 1) > 1:
            scalars.pop('grad_norm', None)  # logged in some steps only
        self.epochs.append(dict(
            epoch=runner.epoch + 1, train=scalars,
            seconds=round(time.monotonic() - self.started, 2)))
        self._write()

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Record the validation metrics of the last epoch."""
        if metrics and getattr(self, 'epochs', None) and (
                self.epochs[-1]['epoch'] == runner.epoch):
            self.epochs[-1]['val'] = {
                name: float(value) for name, value in metrics.items()
                if _is_scalar(value)}
            self._write()

    @master_only
    def _write(self) -> None:
        with atomic_write(self._path) as partial:
            partial.write_text(json.dumps(
                dict(self.record, epochs=self.epochs), indent=1))


def read_record(path: Path) -> dict:
    """Read a ``run.json`` as data, without executing its content.

    An ``InputError`` is raised if it is damaged or not the record of a run.
    """
    try:
        record = json.loads(path.read_text())
        record['epochs'] = [{**item, 'epoch': int(item['epoch'])}
                            for item in record['epochs']]
        for name in ('machine', 'versions'):
            record[name] = {**record[name]}
        return {name: record[name] for name in ('commit', 'clean')} | record
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{path} is damaged or not the record of a run ({error!r}), '
            'expected the JSON that train.py writes. Restore or remove this '
            'file.') from None
