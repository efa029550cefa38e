"""Studies: trainings that are to be compared, declared in one small file.

A study is a config file (Python, JSON or YAML, with ``_base_`` if it likes):

    about = 'what it is to find out'
    options = {'train_cfg.max_epochs': 30}        # of every training
    encoders = dict(stgcn={...})                  # more, by encoder
    arms = dict(
        stgcn=dict(encoder='stgcn', stdcl=False, seeds=10),
        stdcl_stgcn=dict(encoder='stgcn', against='stgcn', seeds=10))

Options are what ``--cfg-options`` of tools/train.py takes. ``{fold}`` in one
of them stands for the seed modulo ``folds``. Names that begin with ``_`` are
the file's own.
"""
import functools
import hashlib
import json
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import InputError

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / 'runs' / 'studies'
# what of a config decides what comes of a training
RECIPE = ('model', 'train_dataloader', 'val_dataloader', 'optim_wrapper',
          'param_scheduler', 'train_cfg', 'custom_hooks')
STREAMS = ('joint', 'bone', 'joint-motion', 'bone-motion')
# field -> its type; those of a study, and of an arm
STUDY = dict(about=str, benchmark=str, threads=int, folds=int, options=dict,
             encoders=dict, arms=dict, ensembles=dict, means=dict)
ARM = dict(encoder=str, stream=str, stdcl=bool, options=dict,
           seeds=(int, list), against=str)


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Args:
        study (str): Name of the study, that of its file.
        arm (str): Name of the arm; its trainings differ in the seed alone.
        encoder (str): Name of the encoder, as in the names of configs.
        stream (str): One of ``joint``, ``bone``, ``joint-motion`` and
            ``bone-motion``.
        stdcl (bool): With STD-CL, or plain.
        seed (int): The seed.
        config (str): Config file, relative to the repository.
        options (dict): ``--cfg-options``.
    """
    study: str
    arm: str
    encoder: str
    stream: str
    stdcl: bool
    seed: int
    config: str
    options: Dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its work directory and its record."""
        return f'{self.arm}_seed-{self.seed}'

    @property
    def record(self) -> Path:
        """Its record, relative to the folder of all studies' records."""
        return Path(self.study, f'{self.name}.json')

    def declared(self) -> dict:
        """What the study says of it, as its record keeps it."""
        return dict(study=self.study, arm=self.arm, encoder=self.encoder,
                    stream=self.stream, stdcl=self.stdcl, seed=self.seed,
                    config=self.config, options=self.options)

    def recipe_sha256(self) -> str:
        """Hash of what its config says today, see :func:`recipe_of`.

        The config is read once, though seeds and messages ask for it often.
        """
        return _recipe_sha256(self.config, json.dumps(self.options))

    def arguments(self, work_dir: Path) -> List[str]:
        """What follows ``tools/train.py`` on the command line."""
        return [self.config, '--seed', str(self.seed), '--work-dir',
                str(work_dir), '--resume', *self.cfg_options()]

    def cfg_options(self) -> List[str]:
        """The options, as a command line has them."""
        options = [f'{key}={_as_text(value)}'
                   for key, value in self.options.items()]
        return ['--cfg-options', *options] if options else []


def _as_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f'[{",".join(map(_as_text, value))}]'
    return str(value)


@dataclass
class Study:
    """A study file, read and checked.

    Args:
        name (str): That of its file.
        about (str): What it is to find out.
        threads (int): CPU threads of a training.
        arms (list[str]): Names of the arms, as the file has them.
        trainings (list[Training]): In the order in which they are run: all
            arms with their first seed, all with their second, and so on.
        against (dict): Arm -> the arm it is compared with.
        ensembles (dict): Name of an ensemble -> the arms it fuses.
        means (dict): Name of a mean -> the arms whose differences it is of.
    """
    name: str
    about: str
    threads: int
    arms: List[str]
    trainings: List[Training]
    against: Dict[str, str]
    ensembles: Dict[str, List[str]]
    means: Dict[str, List[str]]

    def arm(self, name: str) -> List[Training]:
        """The trainings of an arm, in order of seeds."""
        return sorted((item for item in self.trainings if item.arm == name),
                      key=lambda item: item.seed)


def read_study(path: Path) -> Study:
    """Read a study file.

    Args:
        path (Path): The file.

    Returns:
        Study: What it declares.

    Raises:
        InputError: A field is missing, unknown or of another type, or names
            what is not there.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'{path}: there is no such file; expected a study.')
    content = {name: value for name, value
               in Config.fromfile(str(path)).to_dict().items()
               if not name.startswith('_')}
    _check_fields(str(path), content, STUDY, required=('about', 'arms'))
    trainings = []
    for name, arm in content['arms'].items():
        _check_fields(f'{path}: arms.{name}', arm, ARM,
                      required=('encoder', 'seeds'))
        trainings += _trainings(path, content, name, arm)
    trainings.sort(key=lambda item: item.seed)  # stable: arms in their order
    study = Study(
        path.stem, content['about'], content.get('threads', 1),
        list(content['arms']), trainings,
        {name: arm['against'] for name, arm in content['arms'].items()
         if 'against' in arm}, content.get('ensembles', {}),
        content.get('means', {}))
    _check_names(path, study)
    return study


def _check_fields(where: str, content: dict, types: dict,
                  required: tuple) -> None:
    for name in required:
        if name not in content:
            raise InputError(f'{where}: there is no "{name}"; expected '
                             f'{", ".join(required)}.')
    for name, value in content.items():
        if name not in types:
            raise InputError(f'{where}: "{name}" is not known; expected some '
                             f'of {", ".join(types)}.')
        if not isinstance(value, types[name]):
            raise InputError(f'{where}: {name} is {value!r}, expected '
                             f'{types[name]}.')


def _trainings(path: Path, content: dict, name: str,
               arm: dict) -> List[Training]:
    """All trainings of an arm."""
    encoder, stdcl = arm['encoder'], arm.get('stdcl', True)
    stream = arm.get('stream', 'joint')
    encoders = content.get('encoders', {})
    if encoders and encoder not in encoders:
        raise InputError(f'{path}: arms.{name}.encoder is {encoder!r}, '
                         f'expected one of {", ".join(encoders)}.')
    config = find_config(encoder, stream,
                         content.get('benchmark', 'nw-ucla-xview'), stdcl)
    if config is None:
        raise InputError(f'{path}: arms.{name}: configs/ has none for '
                         f'encoder {encoder!r} and stream {stream!r}; streams '
                         f'are {", ".join(STREAMS)}.')
    options = {**content.get('options', {}), **encoders.get(encoder, {}),
               **arm.get('options', {})}
    seeds = arm['seeds']
    seeds = range(seeds) if isinstance(seeds, int) else seeds
    return [Training(path.stem, name, encoder, stream, stdcl, seed, config,
                     _of_fold(options, seed % content.get('folds', 1)))
            for seed in seeds]


def find_config(encoder: str, stream: str, benchmark: str,
                stdcl: bool) -> Optional[str]:
    """The config of a pairing, relative to the repository; None if none."""
    if stream not in STREAMS:
        return None
    pattern = (f'stdcl/stdcl-{encoder}' if stdcl else f'{encoder}/{encoder}')
    found = sorted((ROOT / 'configs').glob(
        f'{pattern}_*b*-{stream}-u*_{benchmark}-keypoint-3d.py'))
    return str(found[0].relative_to(ROOT)) if len(found) == 1 else None


def _of_fold(options: dict, fold: int) -> dict:
    return {key: value.replace('{fold}', str(fold))
            if isinstance(value, str) else value
            for key, value in options.items()}


def _check_names(path: Path, study: Study) -> None:
    for arm, other in study.against.items():
        seeds = {item.seed for item in study.arm(arm)}
        others = {item.seed for item in study.arm(other)}
        if not seeds <= others:
            raise InputError(
                f'{path}: arms.{arm} has the seeds {sorted(seeds)} and is '
                f'compared with {other!r}, which has {sorted(others)}; '
                'expected an arm with the same seeds.')
    for name, arms in study.ensembles.items():
        missing = [arm for arm in arms if arm not in study.arms]
        if missing:
            raise InputError(f'{path}: ensembles.{name} names {missing[0]!r}, '
                             f'expected some of {", ".join(study.arms)}.')
    for name, arms in study.means.items():
        missing = [arm for arm in arms if arm not in study.against]
        if missing:
            raise InputError(f'{path}: means.{name} names {missing[0]!r}, '
                             'expected arms with "against": '
                             f'{", ".join(study.against)}.')


def add_finished_arguments(parser: ArgumentParser) -> None:
    """Arguments of a tool that takes the finished trainings of a study.

    ``study``, ``--only``, ``--work-dir`` and ``--records``.
    """
    parser.add_argument('study', type=Path, help='study file, such as those '
                        'in tools/experiments/studies')
    parser.add_argument('--only', default='*', metavar='PATTERN',
                        help='only arms that match, such as "*ctrgcn*"')
    parser.add_argument('--work-dir', type=Path, nargs='+', metavar='FOLDER',
                        default=[ROOT / 'work_dirs' / 'studies'],
                        help='of the trainings; default: work_dirs/studies')
    parser.add_argument('--records', type=Path, default=RECORDS,
                        help='folder of the records; default: runs/studies')


@functools.lru_cache(maxsize=None)
def _recipe_sha256(config: str, options: str) -> str:
    return recipe_of(load_config(str(ROOT / config), json.loads(options)))


def recipe_of(config: Config) -> str:
    """Hash of the parts of a config that decide what a training gives."""
    content = config.to_dict()
    return digest({name: content.get(name) for name in RECIPE})


def digest(content: Any) -> str:
    """SHA-256 of what can be written as JSON, whatever the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()
