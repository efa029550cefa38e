"""Publish the models of a study: checkpoints for inference, configs, logs.

Of every recorded training whose checkpoint is in its work directory:
NAME-HASH.pth, the checkpoint without STD-CL and the state of the training;
NAME.py, the whole plain config that it fits; NAME.json, the record.
"""
import argparse
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mmengine.config import Config
from record import find_finished, write_record
from study import (
    Study,
    Training,
    add_finished_arguments,
    read_study,
)

from projects.stdcl.deployment.strip import strip_file
from projects.stdcl.models.heads.stdcl_head import STDCLMixin
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)

# options of STD-CL alone
HEAD = inspect.signature(STDCLMixin.__init__).parameters
OTHERS = ('model.type', 'model.clip_shape', 'default_hooks.diagnosis.')
EXAMPLES = '''example:
  python tools/experiments/run_study.py STUDY --only "*ctrgcn*" --jobs 2
  python tools/experiments/publish.py STUDY --only "*ctrgcn*"
  python tools/test.py work_dirs/models/NAME.py \\
      work_dirs/models/NAME-HASH.pth'''


def plain_config(training: Training, study: Study) -> Config:
    """The config of a training, without STD-CL.

    Raises:
        InputError: The training has a config of the user's own, with STD-CL,
            and the study no plain arm that it is compared with.
    """
    return load_config(str(ROOT / _plain_file(training, study)), {
        key: value for key, value in training.options.items()
        if not _is_of_stdcl(key)})


def _plain_file(training: Training, study: Study) -> str:
    if not training.stdcl:
        return training.config
    if training.encoder:
        return training.config.replace('stdcl/stdcl-', f'{training.encoder}/')
    other = study.against.get(training.arm)
    plain = study.arm(other)[0] if other else None
    if plain is None or plain.stdcl:
        raise InputError(
            f'arms.{training.arm}.against is {other!r}, expected an arm with '
            f'stdcl=False: {training.config} has STD-CL, and what is '
            'published needs a config without.')
    return plain.config


def _is_of_stdcl(key: str) -> bool:
    head = key.removeprefix('model.cls_head.').partition('.')[0]
    return key.startswith(OTHERS) or (key.startswith('model.cls_head.')
                                      and head in HEAD)


def publish(training: Training, plain: Config, record: dict,
            checkpoint: Path, out: Path) -> Path:
    """Write the three files of a training.

    Args:
        training (Training): The training.
        plain (Config): Its config without STD-CL.
        record (dict): Its record.
        checkpoint (Path): Its last checkpoint.
        out (Path): Folder to write to; it is made.

    Returns:
        Path: The published checkpoint.
    """
    path, _ = strip_file(checkpoint, out / f'{training.name}.pth')
    config, log = (out / f'{training.name}{suffix}'
                   for suffix in ('.py', '.json'))
    with atomic_write(config) as partial:
        partial.write_text(plain.pretty_text)
    write_record(log, record)
    return path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_finished_arguments(parser)
    parser.add_argument('--out', type=Path, help='folder to write to; '
                        'default: work_dirs/models',
                        default=Path('work_dirs', 'models'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with end_cleanly(str(args.study)):
        study = read_study(args.study)
        trainings = study.matching(args.only)
        published = 0
        for training in trainings:
            found = find_finished(training, args.work_dir, args.records)
            if found:
                path = publish(training, plain_config(training, study), *found,
                               args.out)
                published += 1
                print(f'{path}: {path.stat().st_size:,} bytes')
        if not published:
            raise InputError(
                f'none of {len(trainings)} trainings has both a record in '
                f'{args.records} and the checkpoint of its last epoch in '
                f'{", ".join(map(str, args.work_dir))}; run_study.py makes '
                'them, of trainings without a record (--records FOLDER).')
    print(f'{published} of {len(trainings)} trainings'
          + ('; the others have no record or no checkpoint.'
             if published < len(trainings) else ''))


if __name__ == '__main__':
    main()
