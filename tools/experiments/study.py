"""Studies: trainings that are to be compared, declared in one small file.

A study is a config file (Python, JSON or YAML, with ``_base_`` if it likes):

    about = 'what it is to find out'
    options = {'train_cfg.max_epochs': 30}        # of every training
    encoders = dict(stgcn={...})                  # more, by encoder
    arms = dict(
        stgcn=dict(encoder='stgcn', stdcl=False, seeds=10),
        stdcl_stgcn=dict(encoder='stgcn', against='stgcn', seeds=10))

``about`` and ``arms`` must be there. A study may also have:

- ``benchmark``, the data set and its protocol, as names of configs end in
  (``ls configs/stgcn``: ``..._BENCHMARK-keypoint-3d.py``); default:
  ``nw-ucla-xview``;
- ``threads``, CPU threads of a training; default: 1;
- ``options``, what ``--cfg-options`` of tools/train.py takes, and
  ``encoders``, more of them for each encoder; those of an arm come last;
- ``folds``: ``{fold}`` in an option stands for the seed modulo ``folds``;
- ``ensembles``, name -> arms whose scores are fused, seed by seed;
- ``means``, name -> arms over whose differences a mean is taken.

An arm has:

- ``seeds``, a list, or how many from 0 on;
- ``encoder`` and ``stream`` (``joint``, the default, ``bone``,
  ``joint-motion``, ``bone-motion``), by which its config is found;
- or ``config`` instead, a file of your own, as tools/data/custom.py makes it,
  beside the study or in the repository;
- ``stdcl=False`` if it is plain;
- ``against``, the arm it is compared with, seed by seed;
- ``options``, which it alone has.

With data of your own, where tools/data/custom.py made one config with
``--plain`` and one without:

    arms = dict(
        plain=dict(config='gestures_plain.py', stdcl=False, seeds=5),
        stdcl=dict(config='gestures.py', against='plain', seeds=5))

A config of your own in the repository must be committed, as all must be that
a training reads there; one outside is kept in the record alone. Names that
begin with ``_`` are the file's own.
"""
import functools
import hashlib
import json
from argparse import ArgumentParser
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config, DictAction

from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import InputError

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / 'runs' / 'studies'
# what of a config decides what comes of a training
RECIPE = ('model', 'train_dataloader', 'val_dataloader', 'optim_wrapper',
          'param_scheduler', 'train_cfg', 'custom_hooks')
SUFFIX = '-keypoint-3d.py'  # of the configs of a benchmark
STREAMS = ('joint', 'bone', 'joint-motion', 'bone-motion')
# field -> its type; those of a study, and of an arm
STUDY = dict(about=str, benchmark=str, threads=int, folds=int, options=dict,
             encoders=dict, arms=dict, ensembles=dict, means=dict)
ARM = dict(config=str, encoder=str, stream=str, stdcl=bool, options=dict,
           seeds=(int, list), against=str)


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Args:
        study (str): Name of the study, that of its file.
        arm (str): Name of the arm; its trainings differ in the seed alone.
        encoder (str | None): Name of the encoder, as in the names of configs;
            None of a config of the user's own.
        stream (str | None): One of ``joint``, ``bone``, ``joint-motion`` and
            ``bone-motion``; None of a config of the user's own.
        stdcl (bool): With STD-CL, or plain.
        seed (int): The seed.
        config (str): Config file, relative to the repository, or absolute if
            it is outside.
        options (dict): ``--cfg-options``.
    """
    study: str
    arm: str
    encoder: Optional[str]
    stream: Optional[str]
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
                    config=self._public_config(), options=self.options)

    def _public_config(self) -> str:
        """The config, without the folders outside the repository."""
        path = Path(self.config)
        return path.name if path.is_absolute() else self.config

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
        path (Path): Its file.
        about (str): What it is to find out.
        threads (int): CPU threads of a training.
        arms (list[str]): Names of the arms, as the file has them.
        trainings (list[Training]): In the order in which they are run: all
            arms with their first seed, all with their second, and so on.
        against (dict): Arm -> the arm it is compared with.
        ensembles (dict): Name of an ensemble -> the arms it fuses.
        means (dict): Name of a mean -> the arms whose differences it is of.
    """
    path: Path
    about: str
    threads: int
    arms: List[str]
    trainings: List[Training]
    against: Dict[str, str]
    ensembles: Dict[str, List[str]]
    means: Dict[str, List[str]]

    @property
    def name(self) -> str:
        """That of its file."""
        return self.path.stem

    def arm(self, name: str) -> List[Training]:
        """The trainings of an arm, in order of seeds."""
        return sorted((item for item in self.trainings if item.arm == name),
                      key=lambda item: item.seed)

    def seeds(self, name: str) -> List[int]:
        """The seeds of an arm, in order."""
        return [item.seed for item in self.arm(name)]

    def matching(self, pattern: str) -> List[Training]:
        """The trainings of arms that match a pattern, that of ``--only``.

        Raises:
            InputError: No arm matches.
        """
        found = [item for item in self.trainings if fnmatch(item.arm, pattern)]
        if not found:
            raise InputError(
                f'--only is {pattern!r}, which matches no arm of {self.name}; '
                f'expected one of {", ".join(self.arms)}, or a pattern.')
        return found


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
    for name in ('threads', 'folds'):
        if content.get(name, 1) < 1:
            raise InputError(f'{path}: {name} is {content[name]}, expected 1 '
                             'or more.')
    trainings = [training for name, arm in content['arms'].items()
                 for training in _trainings(path, content, name, arm)]
    trainings.sort(key=lambda item: item.seed)  # stable: arms in their order
    study = Study(
        path, content['about'], content.get('threads', 1),
        list(content['arms']), trainings,
        {name: arm['against'] for name, arm in content['arms'].items()
         if 'against' in arm}, content.get('ensembles', {}),
        content.get('means', {}))
    _check_against(path, study)
    _check_ensembles(path, study)
    _check_means(path, study)
    return study


def _check_fields(where: str, content: dict, types: dict,
                  required: tuple) -> None:
    for name, value in content.items():
        if name not in types:
            raise InputError(f'{where}: "{name}" is not known; expected some '
                             f'of {", ".join(types)}.')
        # True is an int to Python
        if not isinstance(value, types[name]) or (
                isinstance(value, bool) and types[name] is not bool):
            raise InputError(f'{where}: {name} is {value!r}, expected '
                             f'{types[name]}.')
    for name in required:
        if name not in content:
            raise InputError(f'{where}: there is no "{name}"; expected '
                             f'{", ".join(required)}.')


def _trainings(path: Path, content: dict, name: str,
               arm: dict) -> List[Training]:
    """All trainings of an arm."""
    where = f'{path}: arms.{name}'
    if not name or '/' in name:
        raise InputError(f'{where}: the name is {name!r}, expected one that '
                         'files can have, without "/".')
    _check_fields(where, arm, ARM, required=('seeds',))
    encoder, stdcl = arm.get('encoder'), arm.get('stdcl', True)
    stream = None if 'config' in arm else arm.get('stream', 'joint')
    config = _config_of(path, where, content, arm)
    options = {**content.get('options', {}),
               **content.get('encoders', {}).get(encoder, {}),
               **arm.get('options', {})}
    trainings = [
        Training(path.stem, name, encoder, stream, stdcl, seed, config,
                 _of_fold(options, seed % content.get('folds', 1)))
        for seed in _seeds(where, arm['seeds'])]
    for training in trainings:
        _check_options(where, training.options)
    return trainings


def _seeds(where: str, seeds: Any) -> List[int]:
    """The seeds of an arm, of a list or of their number."""
    every = list(range(seeds)) if isinstance(seeds, int) else seeds
    if not every or len(set(map(str, every))) < len(every) or not all(
            type(seed) is int and seed >= 0 for seed in every):
        raise InputError(f'{where}: seeds is {seeds}, expected how many, 1 or '
                         'more, or a list of whole numbers from 0 on, each '
                         'once.')
    return every


def _check_options(where: str, options: Dict[str, Any]) -> None:
    """Options must reach tools/train.py, on its command line, as they are."""
    for name, value in options.items():
        try:
            seen = DictAction._parse_iterable(_as_text(value))
        except AssertionError:  # brackets without partners
            seen = None
        if repr(seen) != repr(_as_lists(value)):
            raise InputError(
                f'{where}: the option {name} is {value!r}, which a command '
                'line cannot say; expected a number, a word, or a list of '
                f'them. Of a dict say each field: "{name}.type" and so on.')


def _as_lists(value: Any) -> Any:
    """With lists for tuples, as a record has them."""
    if isinstance(value, (list, tuple)):
        return list(map(_as_lists, value))
    return value


def _config_of(path: Path, where: str, content: dict, arm: dict) -> str:
    """The config of an arm: its own, or by its encoder."""
    if ('config' in arm) == bool({'encoder', 'stream'} & arm.keys()):
        raise InputError(f'{where}: has {", ".join(arm)}; expected either '
                         'config, or encoder and at will stream.')
    if 'config' in arm:
        return _find_own(path, where, arm['config'])
    encoders = content.get('encoders')
    if 'encoder' not in arm or (encoders and arm['encoder'] not in encoders):
        raise InputError(
            f'{where}.encoder is {arm.get("encoder")!r}, expected one of '
            f'{", ".join(encoders or _encoders())}.')
    try:
        return find_config(arm['encoder'], arm.get('stream', 'joint'),
                           content.get('benchmark', 'nw-ucla-xview'),
                           arm.get('stdcl', True))
    except InputError as error:
        raise InputError(f'{where}: {error}') from None


def _find_own(study: Path, where: str, name: str) -> str:
    """A config of the user's own, as :class:`Training` has it."""
    folders = (study.resolve().parent, ROOT)
    for folder in folders:
        path = (folder / name).resolve()
        # a study may have the name of the config that it is about
        if path.is_file() and path != study.resolve():
            return (path.relative_to(ROOT).as_posix()
                    if path.is_relative_to(ROOT) else str(path))
    raise InputError(f'{where}.config is {name!r}, expected a file in '
                     f'{" or ".join(map(str, dict.fromkeys(folders)))}.')


def find_config(encoder: str, stream: str, benchmark: str,
                stdcl: bool) -> str:
    """The config of a pairing, relative to the repository.

    Raises:
        InputError: configs/ has none, or several.
    """
    for name, value, known in (('stream', stream, STREAMS),
                               ('benchmark', benchmark, _benchmarks()),
                               ('encoder', encoder, _encoders())):
        if value not in known:
            raise InputError(f'{name} is {value!r}, expected one of '
                             f'{", ".join(known)}.')
    place = f'stdcl/stdcl-{encoder}' if stdcl else f'{encoder}/{encoder}'
    pattern = f'{place}_*b*-{stream}-u*_{benchmark}{SUFFIX}'
    found = [path.relative_to(ROOT).as_posix()
             for path in sorted((ROOT / 'configs').glob(pattern))]
    if len(found) != 1:
        raise InputError(f'configs/{pattern} finds '
                         f'{", ".join(found) or "nothing"}; expected one '
                         'config.')
    return found[0]


def _benchmarks() -> List[str]:
    """Benchmarks that configs/ has."""
    return sorted({path.name.removesuffix(SUFFIX).rpartition('_')[2]
                   for path in (ROOT / 'configs').glob(f'*/*{SUFFIX}')})


def _encoders() -> List[str]:
    """Encoders that configs/ has."""
    return sorted({path.parent.name for path
                   in (ROOT / 'configs').glob(f'*/*{SUFFIX}')} - {'stdcl'})


def _of_fold(options: dict, fold: int) -> dict:
    return {key: value.replace('{fold}', str(fold))
            if isinstance(value, str) else value
            for key, value in options.items()}


def _check_against(path: Path, study: Study) -> None:
    for arm, other in study.against.items():
        if other not in study.arms:
            raise InputError(f'{path}: arms.{arm}.against is {other!r}, '
                             f'expected one of {", ".join(study.arms)}.')
        seeds, others = study.seeds(arm), study.seeds(other)
        if not set(seeds) <= set(others):
            raise InputError(
                f'{path}: arms.{arm} has the seeds {seeds} and is compared '
                f'with {other!r}, which has {others}; expected an arm with '
                'the same seeds.')


def _check_ensembles(path: Path, study: Study) -> None:
    for name, arms in study.ensembles.items():
        missing = [arm for arm in arms if arm not in study.arms]
        if missing:
            raise InputError(f'{path}: ensembles.{name} names {missing[0]!r}, '
                             f'expected some of {", ".join(study.arms)}.')
        seeds = {arm: study.seeds(arm) for arm in arms}
        if len(set(map(tuple, seeds.values()))) > 1:
            raise InputError(f'{path}: ensembles.{name}: the seeds are '
                             f'{seeds}, expected the same of all arms.')


def _check_means(path: Path, study: Study) -> None:
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
