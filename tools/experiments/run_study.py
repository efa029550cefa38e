"""Run the trainings of a study, several at once, in parts that resume.

Every finished training leaves a small JSON file, which is its record; what is
recorded is not run again. Trainings that are cut off (--minutes, Ctrl-C,
SIGTERM, a crash) go on where they stopped when the study is run again.
"""
import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from parcel import pack, state_of, unpack
from record import (
    check_clean,
    check_current,
    check_parts,
    make_record,
    read_record,
    write_record,
)
from rich.console import Console
from rich.progress import Progress
from study import RECORDS, Study, Training, read_study

from projects.stdcl.utils.checkpoint_file import find_latest
from projects.stdcl.utils.environment import (
    current_commit,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)

EPILOG = '''examples:
  python tools/experiments/run_study.py STUDY --list
  python tools/experiments/run_study.py STUDY --jobs 2
  python tools/experiments/run_study.py STUDY --only "*ctrgcn*" --jobs 4 \\
      --minutes 9 --parcel parcel

A parcel is what it takes to go on on another machine, in files of at most 15
MiB: it is unpacked before the study is run, and packed anew after it. On a
machine without .git set STDCL_COMMIT to the commit of the (clean) files.
What is deleted to be made anew would come back from a parcel: delete that
too.

Trainings run from the root of the repository, where data/ is, in folders of
work_dirs/studies/; what they print is in log.txt there. Records are made on
a clean tree, see "git status"; runs/ does not count.'''
# of a training that was told to stop: PreemptionHook's, and that of a process
# without one, or where it does not listen yet
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)


class StudyRunner:
    """Starts trainings, and ends them in time.

    Args:
        study (Study): What to run.
        work_dir (Path): Where the work directories are, relative to the
            repository.
        records (Path): Where the records go.
    """

    def __init__(self, study: Study, work_dir: Path, records: Path) -> None:
        self.study, self.work_dir, self.records = study, work_dir, records
        self.stopping = threading.Event()
        self.children: List[subprocess.Popen] = []
        # a signal may come while the handler of one before has the lock
        self.lock = threading.RLock()
        # reading a config imports what it names, which is for one thread
        self.reading = threading.Lock()

    def folder(self, training: Training) -> Path:
        """Work directory of a training, relative to the repository."""
        return self.work_dir / self.study.name / training.name

    def missing(self, pattern: str = '*') -> List[Training]:
        """Trainings without a record, of the arms that match a pattern.

        Raises:
            InputError: A record is damaged, or of another declaration, or no
                arm matches.
        """
        return [training for training in self.study.matching(pattern)
                if not self._is_recorded(training)]

    def _is_recorded(self, training: Training) -> bool:
        path = self.records / training.record
        if not path.is_file():
            return False
        check_current(path, read_record(path), training)
        return True

    def run(self, training: Training) -> Optional[dict]:
        """Train, test, record.

        Returns:
            dict | None: The record; None if it was told to stop.

        Raises:
            InputError: The training fails; the text has the end of its log.
                The tree is not clean, or the work directory has another
                training's files.
        """
        if self.stopping.is_set():
            return None
        check_clean(current_commit())
        folder = ROOT / self.folder(training)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / 'lock') as lock:
            with self.reading:
                check_parts(training, folder)
            if not self._call(['tools/train.py', *training.arguments(
                    self.folder(training))], folder, lock):
                return None
            checkpoint = find_latest(str(folder)).path
            if checkpoint is None:
                raise InputError(f'{folder}: the training has left no good '
                                 'checkpoint, expected one of its last '
                                 'epoch.')
            if not self._call([
                    'tools/test.py', training.config, checkpoint,
                    '--work-dir', str(self.folder(training) / 'test'),
                    '--dump', str(self.folder(training) / 'scores.npz'),
                    *training.cfg_options()], folder, lock):
                return None
            with self.reading:
                record = make_record(training, folder)
            write_record(self.records / training.record, record)
            return record

    def fuse(self) -> None:
        """Fuse the ensembles whose arms are all recorded.

        Seed by seed, by tools/ensemble.py, into ensemble_*.json beside the
        records of the study.

        Raises:
            InputError: The scores cannot be fused, or the tree is not clean.
        """
        for name, arms in self.study.ensembles.items():
            for members in zip(*map(self.study.arm, arms)):
                out = self.records / self.study.name / (
                    f'ensemble_{name}_seed-{members[0].seed}.json')
                files = [ROOT / self.folder(member) / 'scores.npz'
                         for member in members]
                if out.is_file() or not all(
                        map(self._is_recorded, members)) or not all(
                            path.is_file() for path in files):
                    continue
                check_clean(current_commit())
                done = subprocess.run(
                    [sys.executable, ROOT / 'tools/ensemble.py', *files,
                     '--out', out], capture_output=True, text=True)
                if done.returncode:
                    raise InputError(f'{name}: {done.stderr.strip()}')
                print(next(f'{out.name}: {line}'
                           for line in done.stdout.splitlines()
                           if line.startswith('fused')))

    def pack(self, folder: Path) -> None:
        """Write a parcel of the study, see :mod:`parcel`."""
        missing = {training.name for training in self.missing()}
        files = sorted((self.records / self.study.name).glob('*.json'))
        for training in self.study.trainings:
            files += state_of(ROOT / self.folder(training),
                              training.name not in missing)
        parts = pack((path.resolve() for path in files), ROOT, folder)
        size = sum(path.stat().st_size for path in parts) / 2**20
        print(f'{folder}: {len(files)} files in {len(parts)} parts, '
              f'{size:.0f} MiB')

    def _call(self, command: List[str], folder: Path, lock: int) -> bool:
        """Run a script to its end; False if it was told to stop before."""
        threads = str(self.study.threads)
        with open(folder / 'log.txt', 'ab') as log, self.lock:
            if self.stopping.is_set():
                return False
            # in a session of its own: Ctrl-C is for this process, which then
            # has the others save. The lock is theirs too, if this one dies
            child = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
                pass_fds=[lock], env={**os.environ,
                                      'OMP_NUM_THREADS': threads,
                                      'MKL_NUM_THREADS': threads})
            self.children.append(child)
        status = child.wait()
        if status and not (self.stopping.is_set() and status in STOPPED):
            text = (folder / 'log.txt').read_text(errors='replace')
            end = '\n'.join(text.splitlines()[-15:])
            raise InputError(f'{folder}/log.txt: status {status}, expected 0. '
                             f'Its end:\n{end}')
        return status == 0

    def stop(self) -> None:
        """Have all trainings save and leave."""
        with self.lock:
            self.stopping.set()
            for child in self.children:
                if child.poll() is None:
                    child.terminate()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Keep other runners off a work directory."""
    import fcntl  # not on Windows
    with open(path, 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f'{path}: another process has the lock, so its '
                             'training is being run already.') from None
        yield file.fileno()


def run_all(runner: StudyRunner, trainings: List[Training], jobs: int,
            minutes: Optional[float]) -> bool:
    """Run trainings, show how far they are, end in time.

    Returns:
        bool: Whether none has failed.
    """
    # without markup: what is in brackets in an error is no style
    console = Console(highlight=False, soft_wrap=True, markup=False)
    failed: List[Training] = []
    timer = threading.Timer(60 * minutes, runner.stop) if minutes else None
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    if timer:
        timer.daemon = True
        timer.start()
    started = time.monotonic()
    with Progress(console=console, disable=not sys.stderr.isatty()) as bar, \
            ThreadPoolExecutor(jobs) as pool:
        task = bar.add_task(runner.study.name, total=len(trainings))

        # in the pool's threads, which Ctrl-C does not reach: all is told
        def run(training: Training) -> None:
            try:
                text = _outcome(runner.run(training))
            except Exception as error:  # the others go on
                failed.append(training)
                text = f'failed: {error}'
            if text:
                minutes_gone = (time.monotonic() - started) / 60
                console.print(f'{minutes_gone:6.1f} min  {training.name}: '
                              f'{text}')
                bar.advance(task)

        try:
            wait([pool.submit(run, training) for training in trainings])
        except KeyboardInterrupt:
            console.print('Ctrl-C: trainings save and leave; run the study '
                          'again to go on.')
            runner.stop()
    if timer:
        timer.cancel()
    return not failed


def _outcome(record: Optional[dict]) -> str:
    if record is None:
        return ''
    return (f'top-1 {record["top1_last"]:.2f} after {record["epochs"]} epochs,'
            f' {record["seconds"] / 60:.1f} min')


def show(runner: StudyRunner) -> None:
    """Print what is recorded and what is missing."""
    missing = {training.name for training in runner.missing()}
    for arm in runner.study.arms:
        trainings = runner.study.arm(arm)
        done = [read_record(runner.records / training.record)['top1_last']
                for training in trainings if training.name not in missing]
        text = ', '.join(f'{top1:.2f}' for top1 in done)
        print(f'{arm}: {len(done)} of {len(trainings)} recorded'
              f'{": top-1 " if done else ""}{text}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, help='study file, such as those '
                        'in tools/experiments/studies')
    parser.add_argument('--list', action='store_true', help='only show what '
                        'is recorded and what is missing')
    parser.add_argument('--jobs', type=int, default=1, metavar='N',
                        help='trainings at a time; default: 1')
    parser.add_argument('--minutes', type=float, help='stop after so many '
                        'minutes; trainings save and go on next time')
    parser.add_argument('--only', default='*', metavar='PATTERN',
                        help='only arms that match, such as "*ctrgcn*"')
    parser.add_argument('--work-dir', type=Path,
                        default=Path('work_dirs', 'studies'), help='folder '
                        'of the trainings, relative to the repository; '
                        'default: work_dirs/studies')
    parser.add_argument('--records', type=Path, default=RECORDS,
                        help='folder of the records; default: runs/studies')
    parser.add_argument('--parcel', type=Path, metavar='FOLDER',
                        help='carry the state of the study in this folder')
    args = parser.parse_args()
    args.records = args.records.resolve()
    for name in ('records', 'work_dir'):
        folder = (ROOT / getattr(args, name)).resolve()
        if args.parcel and not folder.is_relative_to(ROOT):
            parser.error(f'--{name.replace("_", "-")} is {folder}, expected a '
                         'folder of the repository: a parcel holds paths '
                         'within it.')
    for name in ('jobs', 'minutes'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f'--{name} is {value}, expected more than 0.')
    return args


def main() -> None:
    args = parse_args()
    with end_cleanly(str(args.study)):
        runner = StudyRunner(read_study(args.study), args.work_dir,
                             args.records)
        if args.parcel and not args.list:
            print(f'{args.parcel}: {unpack(args.parcel, ROOT)} files unpacked')
        if args.list:
            show(runner)
            return
        missing = runner.missing(args.only)
        print(f'{runner.study.name}: {len(missing)} of '
              f'{len(runner.study.trainings)} trainings to run')
        if missing:
            check_clean(current_commit())
        whole = run_all(runner, missing, args.jobs, args.minutes)
        try:
            runner.fuse()
        finally:  # whatever it is, trainings are not to be lost by it
            if args.parcel:
                runner.pack(args.parcel)
        print(f'{runner.study.name}: {len(runner.missing(args.only))} '
              'trainings are still to be run')
        if not whole:
            sys.exit(1)


if __name__ == '__main__':
    main()
