"""Writes down what a training was and what came of it."""
import hashlib
import json
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook

from ...utils.atomic_write import atomic_write

PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmcv-lite', 'mmaction2', 'numpy')


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Keeps ``run.json`` in the work directory, rewritten after each epoch.

    It holds the config and its hash, the commit of this repository and
    whether the tree was clean, versions, the kind of machine, the seed, and
    for each epoch the means of the training scalars, the validation metrics
    and the seconds it took (of an epoch that was cut off, its last part). A
    resumed run goes on with its record, notes the commit and config of the
    part before, and is clean if both parts are.
    """

    priority = 'VERY_LOW'  # after the validation's metrics are in

    def before_train(self, runner) -> None:
        """Write down what is known before the first epoch."""
        config = runner.cfg.pretty_text
        self.record = dict(
            config_file=os.path.basename(runner.cfg.filename or ''),
            config=config,
            config_sha256=hashlib.sha256(config.encode()).hexdigest(),
            **current_commit(),
            versions=package_versions(),
            machine=machine_kind(),
            processes=runner.world_size,
            seed=runner.seed)
        self.epochs = []
        if runner.iter and _path(runner).is_file():  # resumed
            self._continue(json.loads(_path(runner).read_text()),
                           runner.epoch)
        self._write(runner)

    def _continue(self, earlier: dict, epoch: int) -> None:
        """Take over what a resumed run has recorded up to an epoch."""
        self.epochs = [item for item in earlier['epochs']
                       if item['epoch'] <= epoch]
        self.record['resumed'] = [*earlier.get('resumed', []), dict(
            epoch=epoch, commit=earlier['commit'], clean=earlier['clean'],
            config_sha256=earlier['config_sha256'], seed=earlier['seed'])]
        self.record['clean'] = bool(self.record['clean']
                                    and earlier['clean'])

    def before_train_epoch(self, runner) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def after_train_epoch(self, runner) -> None:
        """Add the epoch's training scalars."""
        steps = len(runner.train_dataloader)
        scalars = {
            name[len('train/'):]: float(buffer.mean(steps))
            for name, buffer in runner.message_hub.log_scalars.items()
            if name.startswith('train/') and 'time' not in name}
        self.epochs.append(dict(
            epoch=runner.epoch + 1, train=scalars,
            seconds=round(time.monotonic() - self.started, 2)))
        self._write(runner)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Add the validation metrics to the epoch they follow."""
        if metrics and getattr(self, 'epochs', None):
            self.epochs[-1]['val'] = {
                name: float(value) for name, value in metrics.items()
                if np.size(value) == 1}
            self._write(runner)

    @master_only
    def _write(self, runner) -> None:
        with atomic_write(_path(runner)) as partial:
            partial.write_text(json.dumps(
                dict(self.record, epochs=self.epochs), indent=1))


def _path(runner) -> Path:
    return Path(runner.work_dir, 'run.json')


def current_commit() -> dict:
    """Commit of the repository this file is in, if it is in one.

    Records in runs/ come of trainings and do not change one: they leave the
    tree clean. Where files were copied without ``.git``, the environment
    variable STDCL_COMMIT says which clean commit they are of.
    """

    def git(*args):
        return subprocess.run(
            ['git', '-C', os.path.dirname(__file__), *args], check=True,
            capture_output=True, text=True).stdout.strip()

    try:
        return dict(commit=git('rev-parse', 'HEAD'),
                    clean=not git('status', '--porcelain', '--', ':/',
                                  ':(top,exclude)runs'))
    except (OSError, subprocess.CalledProcessError):
        commit = os.environ.get('STDCL_COMMIT')
        return dict(commit=commit, clean=True if commit else None)


def package_versions() -> dict:
    """Versions of what results depend on."""
    versions = dict(python=platform.python_version())
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # one of mmcv and mmcv-lite
    return versions


def machine_kind() -> dict:
    """What kind of machine this is, without its name."""
    machine = dict(system=platform.system(), processor=platform.machine(),
                   cores=os.cpu_count(), threads=torch.get_num_threads())
    if torch.cuda.is_available():
        machine['gpu'] = torch.cuda.get_device_name()
    return machine
