"""Runs the trainings of a study: several at once, in slices, resumable.

Each training is ``tools/train.py`` and ``tools/test.py``, in processes of
their own. What is recorded is skipped; what was interrupted resumes.
"""
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from rich.console import Console
from rich.progress import Progress

from ..catalogue import ROOT
from ..utils.checkpoint_file import find_latest
from ..utils.config_check import load_config
from ..utils.input_error import InputError
from . import records
from .study import Study, Training

# status of a training that was told to stop: PreemptionHook's, and that of a
# process which does not handle the signal yet
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)


class LocalProcesses:
    """Runs commands on this machine.

    Args:
        threads (int): CPU threads of a command.
    """

    def __init__(self, threads: int) -> None:
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(threads),
                                MKL_NUM_THREADS=str(threads))
        self.children: List[subprocess.Popen] = []
        self.stopped = False

    def __call__(self, command: List[str], log: Path) -> int:
        """Run a command to its end; returns its exit status."""
        with open(log, 'ab') as file:
            # in a session of its own: Ctrl-C reaches this process alone,
            # which then has the trainings save
            child = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, env=self.environment)
        self.children.append(child)
        if self.stopped:  # meanwhile
            child.terminate()
        return child.wait()

    def stop(self) -> None:
        """Ask all commands to save and exit."""
        self.stopped = True
        for child in self.children:
            child.terminate()  # nothing happens to those that have ended


class SlurmJobs:
    """Runs each command as a Slurm job, with submitit.

    Args:
        partition (str): Slurm partition.
        threads (int): CPU cores of a job.
        minutes (float): Time limit of a job.
    """

    def __init__(self, partition: str, threads: int, minutes: float) -> None:
        try:
            import submitit
        except ImportError:
            raise InputError('--slurm needs submitit: pip install submitit'
                             ) from None
        self.executor_class, self.jobs = submitit.AutoExecutor, []
        self.parameters = dict(
            slurm_partition=partition, cpus_per_task=threads,
            gpus_per_node=1, timeout_min=int(minutes) + 1)

    def __call__(self, command: List[str], log: Path) -> int:
        """Submit a command and wait for it; returns its exit status."""
        executor = self.executor_class(folder=log.parent / 'slurm')
        executor.update_parameters(**self.parameters)
        with open(log, 'a') as file:
            file.write(f'{" ".join(command)}: see {log.parent}/slurm\n')
        job = executor.submit(subprocess.call, command)
        self.jobs.append(job)
        job.wait()
        return -signal.SIGTERM if job.exception() else job.result()

    def stop(self) -> None:
        """Cancel all jobs; Slurm sends them SIGTERM first."""
        for job in self.jobs:
            job.cancel()


class StudyRunner:
    """Runs and records the trainings of a study.

    Args:
        study (Study): The study.
        folder (Path): Folder of its results.
        work_dir (Path): Folder of all work directories.
        processes (callable): Runs a command, :class:`LocalProcesses` or
            :class:`SlurmJobs`.
        tools (Path): Folder of train.py and test.py. Defaults to ``tools``
            of the repository.
    """

    def __init__(self, study: Study, folder: Path, work_dir: Path,
                 processes: Callable, tools: Path = ROOT / 'tools') -> None:
        self.study, self.processes, self.tools = study, processes, tools
        self.files = records.files_of(folder, study.name)
        self.work_dir = work_dir / study.name
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # reading configs, writing results

    def missing(self, pattern: str = '*') -> List[Training]:
        """Trainings without a record, of the arms that match a pattern."""
        known = set(records.read_results(self.files.results).set_index(
            records.KEY).index)
        return [item for item in self.study.matching(pattern)
                if (item.arm, item.fold, item.seed) not in known]

    def run(self, training: Training) -> Optional[dict]:
        """Train, test and record.

        Returns:
            dict | None: Its row; None if it was stopped before the end.

        Raises:
            InputError: The training fails, or its work directory belongs to
                another one.
        """
        folder = self.work_dir / training.name
        config = self._write_config(training, folder)
        if not self._call(folder, 'train.py', config, '--seed', training.seed,
                          '--work-dir', folder, '--resume'):
            return None
        checkpoint, extra = find_latest(str(folder)).path, {}
        if checkpoint is None:
            raise InputError(f'{folder} has no intact checkpoint.')
        for column, options in {'': {}, **self.study.tests}.items():
            scores = folder / f'scores{column and f"_{column}"}.npz'
            texts = [f'{name}={value}' for name, value in options.items()]
            if not self._call(
                    folder, 'test.py', config, checkpoint, '--work-dir',
                    folder / 'test', '--dump', scores,
                    *(['--cfg-options', *texts] if texts else [])):
                return None
            if column:
                extra[column] = records.measure(scores)['top1']
        new = records.collect(training, folder, **extra)
        with self.lock:
            records.add(self.files, new)
        return new.results[0]

    def _write_config(self, training: Training, folder: Path) -> Path:
        """Write the config of a training; refuse to resume another one."""
        with self.lock:
            text = load_config(str(training.config),
                               training.options).pretty_text
        path = folder / 'config' / training.config.name
        if path.is_file() and path.read_text() != text:
            raise InputError(
                f'{path} differs from the config of {training.name} today. '
                f'Delete {folder} to train from scratch.')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _call(self, folder: Path, tool: str, *arguments) -> bool:
        """Run a tool; False if it was stopped before its end."""
        if self.stopping.is_set():
            return False
        log = folder / 'log.txt'
        status = self.processes(
            [sys.executable, str(self.tools / tool), *map(str, arguments)],
            log)
        if status and not (self.stopping.is_set() and status in STOPPED):
            end = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
            raise InputError(f'{log}: {tool} ended with status {status}:\n'
                             f'{end}')
        return status == 0

    def fuse(self) -> None:
        """Record the ensembles whose members have left their scores."""
        from ..evaluation.fusion import fuse_files
        for name, arms in self.study.ensembles.items():
            for members in zip(*map(self.study.arm, arms)):
                files = [self.work_dir / member.name / 'scores.npz'
                         for member in members]
                if all(path.is_file() for path in files):
                    fused = fuse_files(files)['fused']
                    records.append(self.files.results, [dict(
                        arm=name, fold=members[0].fold, seed=members[0].seed,
                        top1_last=round(100 * fused['top1'], 4),
                        mean_class=round(
                            100 * fused['mean_class_accuracy'], 4))])

    def stop(self) -> None:
        """Have all trainings save and exit."""
        self.stopping.set()
        self.processes.stop()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second runner away from a work directory."""
    import fcntl  # not on Windows
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f'{folder}: another process is running this '
                             'study.') from None
        yield


def run_all(runner: StudyRunner, trainings: List[Training], jobs: int,
            minutes: Optional[float] = None) -> bool:
    """Run trainings and show progress.

    Args:
        runner (StudyRunner): The runner.
        trainings (list[Training]): What to run.
        jobs (int): How many at a time.
        minutes (float, optional): Stop after this time; trainings save and
            resume next time. Defaults to no limit.

    Returns:
        bool: Whether no training has failed.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    failed: List[Training] = []
    timer = threading.Timer(60 * (minutes or 0), runner.stop)
    timer.daemon = True
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    with locked(runner.work_dir), ThreadPoolExecutor(jobs) as pool, Progress(
            console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(runner.study.name, total=len(trainings))

        def run(training: Training) -> None:
            try:
                row = runner.run(training)
                text = row and (f'top-1 {row["top1_last"]:.2f} after '
                                f'{row["epochs"]} epochs, '
                                f'{row["minutes"]:.1f} minutes')
            except Exception as error:  # the others continue
                failed.append(training)
                text = f'failed: {error}'
            if text:
                console.print(f'{training.name}: {text}')
                progress.advance(task)

        if minutes:
            timer.start()
        try:
            wait([pool.submit(run, training) for training in trainings])
        except KeyboardInterrupt:
            console.print('Ctrl-C: the trainings save and stop.')
            runner.stop()
    timer.cancel()
    return not failed
