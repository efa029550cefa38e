"""Execute the training runs of a study, several at a time.

Each run calls ``tools/train.py`` and ``tools/test.py`` in separate processes.
An interrupted run resumes when it is executed again.
"""
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import cycle
from pathlib import Path

import torch
from rich.console import Console

from ..catalogue import ROOT
from ..utils.atomic_write import atomic_write
from ..utils.checkpoint_file import find_latest
from ..utils.config_check import load_config
from ..utils.folder_lock import lock_folder
from ..utils.input_error import InputError, require_processes
from . import records
from .study import Study, Training, override

TOOLS = ROOT / 'tools'
SIGNALS = {signal.SIGINT, signal.SIGTERM,
           getattr(signal, 'SIGHUP', signal.SIGTERM)}  # not on Windows


class StudyRunner:
    """Runner that trains, tests and records the runs of a study.

    ``folder`` contains the CSV files. The runs are in ``work_dir/STUDY``.
    """

    def __init__(self, study: Study, folder: Path, work_dir: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)  # before the runs
        self.study = study
        self.results = folder / f'{study.name}.csv'
        self.work_dir = work_dir / study.name
        self.call = self._call_here
        self.stopping = threading.Event()
        self.signaled = 0  # number of the signal that stopped the study
        self.stops: list[Callable] = []  # each ends one command
        self.lock = threading.Lock()  # for reading configs and writing results
        self.console = Console(highlight=False, soft_wrap=True, markup=False)
        self.variables = threading.local()  # the GPU of a thread's commands

    def missing(self, pattern: str = '*') -> list[Training]:
        """List the unrecorded runs of the arms that match a pattern."""
        known = records.read(self.results).set_index(records.KEY).index
        return [item for item in self.study.matching(pattern)
                if (item.arm, item.fold, item.seed) not in known]

    def run_all(self, trainings: list[Training], jobs: int = 1,
                minutes: float | None = None) -> list[Training]:
        """Execute runs, ``jobs`` at a time, and return those that fail.

        The runs are stopped after ``minutes``, if given, and on SIGINT,
        SIGTERM or SIGHUP. Stopped runs do not count as failed. If another
        process runs the study or ``jobs`` is invalid, an InputError is raised.
        """
        require_processes('--jobs', jobs)
        self.stopping.clear()
        self.signaled = 0
        before = {number: signal.signal(number, self.stop)
                  for number in SIGNALS if number == signal.SIGINT
                  or signal.getsignal(number) != signal.SIG_IGN}  # nohup
        timer = threading.Timer(60 * (minutes or 0), self.stop)
        timer.daemon = True
        if minutes is not None:
            timer.start()
        gpus = cycle(re.findall('[^, ]+', os.environ.get(
            'CUDA_VISIBLE_DEVICES') or ','.join(map(str, range(
                torch.cuda.device_count())))) or [''])
        failed = []
        try:
            with lock_folder(self.work_dir), ThreadPoolExecutor(
                    jobs, initializer=lambda: vars(self.variables).update(
                        CUDA_VISIBLE_DEVICES=next(gpus))) as pool:
                # a fusion follows the runs whose scores it sums
                for fused in False, True:
                    group = [pool.submit(self._try, item) for item in trainings
                             if bool(item.fuse) == fused]
                    while wait(group, timeout=1).not_done:
                        pass  # without a timeout, a signal could have to wait
                    failed += filter(None, (one.result() for one in group))
        finally:
            timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
        return failed

    def stop(self, number: int = 0, frame=None) -> None:
        """Terminate all commands; training first saves a checkpoint."""
        self.signaled = number or self.signaled
        self.stopping.set()
        for stop in self.stops:
            stop()  # no effect on commands that have ended

    def _try(self, training: Training) -> Training | None:
        """Execute a run and print its result; return the run if it fails."""
        try:
            row = self.run(training)
        except Exception as error:  # other runs continue
            self.console.print(f'{training.name} failed: {error}')
            return training
        if row:
            self.console.print(
                f'{training.name}: top-1 {row["top1_last"]:.2f}' + (
                    '' if training.fuse else f' after {row["epochs"]} epochs, '
                    f'{row["minutes"]:.1f} minutes'))
        return None

    def run(self, training: Training) -> dict | None:
        """Execute and record a run; return its row, or None if stopped."""
        if self.stopping.is_set():  # do not read hundreds of configs
            return None
        if training.fuse:
            return self._fuse(training)
        folder = self.work_dir / training.name
        config = self._write_config(training, folder / 'config')
        if not self._finish(folder, 'train.py', config, '--work-dir', folder,
                            '--seed', training.seed, '--resume'):
            return None
        checkpoint = find_latest(str(folder)).path
        if checkpoint is None:
            raise InputError(f'{folder} contains no intact checkpoint. Delete '
                             'this folder to train from scratch.')
        for name, options in dict(scores={}, **training.tests).items():
            test = config if name == 'scores' else self._write_config(
                training, folder / f'config_{name}', options)
            if not self._finish(folder, 'test.py', test, checkpoint, '--dump',
                                folder / f'{name}.npz', '--work-dir',
                                folder / 'test'):
                return None
        return self._record(records.collect(training, folder))

    def _record(self, row: dict) -> dict:
        with self.lock:
            records.append(self.results, row)
        return row

    def _fuse(self, training: Training) -> dict | None:
        """Fuse the scores of runs; return None if one is not recorded."""
        folders = [self.work_dir / name for name in training.fuse]
        waiting = {item.name for item in self.missing()}
        for folder in folders:
            if folder.name in waiting:
                return None
            if not (folder / 'scores.npz').is_file():
                raise InputError(
                    f'{folder}/scores.npz is missing, but the run is recorded.'
                    ' Restore the file, or delete the row of the run from '
                    f'{self.results} to repeat it.')
        return self._record(records.describe(training, folders))

    def _write_config(self, training: Training, folder: Path,
                      options: dict | None = None) -> Path:
        """Write a config of a run; raise an InputError if it has changed."""
        with self.lock:
            text = load_config(str(training.config), override(
                {'default_hooks.run_record.type': 'RunRecordHook'},
                training.options, options or {})).pretty_text
        path = folder / f'{training.config.stem}.py'
        # only the config of the training must not change
        for old in folder.glob('*.py') if options is None else ():
            if old != path or old.read_text('utf-8') != text:
                raise InputError(
                    f'{old} differs from the current config of '
                    f'{training.name}. Delete {folder.parent}, and the row in '
                    f'{self.results} if there is one, to train from scratch.')
        with atomic_write(path) as new:
            new.write_text(text, 'utf-8')
        return path

    def _finish(self, folder: Path, tool: str, *arguments) -> bool:
        """Run a tool, and return whether it finished before being stopped."""
        log = folder / 'log.txt'
        if self.stopping.is_set():
            return False
        status = self.call(
            [sys.executable, str(TOOLS / tool), *map(str, arguments)], log)
        # after SIGTERM (143), the run has saved a checkpoint
        if status not in (0, 143) and not self.stopping.is_set():
            end = log.read_text(errors='replace').splitlines()[-15:]
            raise InputError(f'{log}: {tool} exited with status {status}:',
                             *end)
        return status == 0

    def _call_here(self, command: list[str], log: Path) -> int:
        """Run a command on this machine, and return its exit status."""
        with open(log, 'ab') as file:
            # a separate session, so that Ctrl-C reaches only this process,
            # which then makes the runs save a checkpoint
            child = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, env={**os.environ, **self._variables,
                                             **vars(self.variables)})
        self.stops.append(child.terminate)
        if self.stopping.is_set():  # stop() was called in the meantime
            child.terminate()
        return child.wait()

    @property
    def _variables(self) -> dict[str, str]:
        """Environment variables of a command."""
        threads = str(self.study.threads)
        return dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads,
                    PYTHONPATH=os.pathsep.join(filter(
                        None, [str(ROOT), os.environ.get('PYTHONPATH')])))

    def use_slurm(self, partition: str, minutes: float) -> None:
        """Run commands as Slurm jobs with one GPU, for up to ``minutes``."""
        import submitit
        if shutil.which('srun') is None:  # submitit would use this machine
            raise InputError('--slurm: srun was not found on this machine.')

        def call(command: list[str], log: Path) -> int:
            executor = submitit.AutoExecutor(folder=log.parent / 'slurm')
            executor.update_parameters(
                slurm_partition=partition, cpus_per_task=self.study.threads,
                gpus_per_node=1, timeout_min=int(minutes) + 1,
                # submitit would let Slurm send SIGUSR2, and kill the run
                slurm_additional_parameters=dict(signal='TERM@90'),
                slurm_setup=[
                    f'export {name}={shlex.quote(value)}'
                    for name, value in self._variables.items()])
            log.write_text(f'The output of {command} is in '
                           f'{log.parent}/slurm.\n')
            job = executor.submit(subprocess.call, command)
            # scancel, which sends SIGTERM first, may fail
            self.stops.append(partial(job.cancel, check=False))
            if self.stopping.is_set():  # stop() was called in the meantime
                job.cancel(check=False)
            job.wait()
            return -signal.SIGTERM if job.exception() else job.result()

        self.call = call
