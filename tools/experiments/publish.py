"""Publish the models of a study: checkpoints for inference, configs, logs.

Of every recorded training whose checkpoint is in its work directory:
NAME-HASH.pth, the checkpoint without STD-CL and the state of the training;
NAME.py, the whole plain config that it fits; NAME.json, the record.
"""
import argparse
import inspect
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools' / 'model_converters')]

from mmengine.config import Config  # noqa: E402
from record import check_current, read_record, write_record  # noqa: E402
from rich.progress import track  # noqa: E402
from strip_stdcl import convert  # noqa: E402
from study import RECORDS, Training, read_study  # noqa: E402

from projects.stdcl.models.stdcl_head import STDCLMixin  # noqa: E402
from projects.stdcl.utils.checkpoint_file import find_latest  # noqa: E402
from projects.stdcl.utils.complete_file import complete  # noqa: E402
from projects.stdcl.utils.config_check import load_config  # noqa: E402
from projects.stdcl.utils.input_error import (  # noqa: E402
    InputError,
    end_cleanly,
)

# options of STD-CL alone
HEAD = inspect.signature(STDCLMixin.__init__).parameters
RECOGNIZER = ('model.type', 'model.clip_shape')
EXAMPLES = '''example:
  python tools/experiments/run_study.py STUDY --only "*ctrgcn*" --jobs 2
  python tools/experiments/publish.py STUDY models --only "*ctrgcn*"
  python tools/test.py models/NAME.py models/NAME-HASH.pth'''


def plain_config(training: Training) -> Config:
    """The config of a training, without STD-CL."""
    path = training.config.replace('stdcl/stdcl-', f'{training.encoder}/')
    return load_config(str(ROOT / path), {
        key: value for key, value in training.options.items()
        if not _is_of_stdcl(key)})


def _is_of_stdcl(key: str) -> bool:
    head = key.removeprefix('model.cls_head.').partition('.')[0]
    return key in RECOGNIZER or (key.startswith('model.cls_head.')
                                 and head in HEAD)


def publish(training: Training, work_dir: Path, records: Path,
            out: Path) -> List[Path]:
    """Write the three files of a training.

    Args:
        training (Training): The training.
        work_dir (Path): Its work directory.
        records (Path): Folder of all studies' records.
        out (Path): Folder to write to; it is made.

    Returns:
        list[Path]: What was written; nothing if there is no record or no
        checkpoint.

    Raises:
        InputError: The record is damaged, or not of this training as it is
            today, or the checkpoint is not of its last epoch.
    """
    record_file = records / training.record
    latest = find_latest(str(work_dir)).path
    if not record_file.is_file() or latest is None:
        return []
    record = read_record(record_file)
    check_current(record_file, record, training)
    expected = f'epoch_{record["epochs"]}.pth'
    if Path(latest).name != expected:
        raise InputError(f'{latest}: expected {expected}, the last epoch '
                         f'of {record_file}.')
    path, _ = convert(Path(latest), out / f'{training.name}.pth')
    config, log = (out / f'{training.name}{suffix}'
                   for suffix in ('.py', '.json'))
    with complete(config) as partial:
        partial.write_text(plain_config(training).pretty_text)
    write_record(log, record)
    return [path, config, log]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, help='study file')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--only', default='*', metavar='PATTERN',
                        help='only arms that match, such as "*ctrgcn*"')
    parser.add_argument('--work-dir', type=Path,
                        default=ROOT / 'work_dirs' / 'studies',
                        help='folder of the trainings; default: '
                        'work_dirs/studies')
    parser.add_argument('--records', type=Path, default=RECORDS,
                        help='folder of the records; default: runs/studies')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with end_cleanly(str(args.study)):
        study = read_study(args.study)
        trainings = [training for training in study.trainings
                     if fnmatch(training.arm, args.only)]
        written = [publish(training,
                           args.work_dir / study.name / training.name,
                           args.records, args.out)
                   for training in track(trainings, description='models',
                                         disable=not sys.stderr.isatty())]
        for path, *_ in filter(None, written):
            print(f'{path}: {path.stat().st_size:,} bytes')
        left_out = written.count([])
        if left_out == len(written):
            raise InputError(
                f'none of {len(trainings)} trainings has both a record in '
                f'{args.records} and a checkpoint in {args.work_dir}; '
                'run_study.py makes them.')
        print(f'{len(written) - left_out} of {len(trainings)} trainings'
              + ('; the others have no record or no checkpoint.' if left_out
                 else ''))


if __name__ == '__main__':
    main()
