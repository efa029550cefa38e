"""Study files: trainings to compare, declared in one small config file.

A study is a config file (Python, JSON or YAML; ``_base_`` works)::

    about = 'question that the study answers'
    options = {'train_cfg.max_epochs': 30}        # for every training
    encoders = dict(stgcn={...})                  # options of an encoder
    arms = dict(
        stgcn=dict(encoder='stgcn', stdcl=False, seeds=10),
        stdcl_stgcn=dict(encoder='stgcn', against='stgcn', seeds=10))

``about`` and ``arms`` are required. Optional fields:

- ``benchmark``: of ``catalogue.BENCHMARKS``. Defaults to 'nw-ucla-xview'.
- ``threads``: CPU threads of a training. Defaults to 1.
- ``options``: config options of every training, dotted name -> value.
- ``encoders``: encoder -> more options. Options of an arm override both.
- ``folds``: number of folds. Seed s trains on fold s modulo ``folds``, which
  replaces ``{fold}`` in options. Defaults to 1.
- ``tests``: column -> config options. Tests the model once more with these
  options and records its top-1: ``top1_clips`` with several clips,
  ``train_top1_eval`` on the training split.
- ``ensembles``: name -> arms whose scores are fused, seed by seed.
- ``means``: name -> arms over whose differences a mean is taken.

Fields of an arm:

- ``seeds``: a list of seeds, or a number N for seeds 0 to N - 1. Required.
- ``encoder`` and ``stream`` (default 'joint'), which select the config, or
  ``config``, a file of your own, relative to the study or the repository.
- ``stdcl``: False for plain training. Defaults to True.
- ``against``: the arm to compare with, seed by seed.
- ``options``: options of this arm.

With your own data, where ``tools/data/custom.py`` wrote a config with STD-CL
and a plain one::

    arms = dict(
        plain=dict(config='gestures_plain.py', stdcl=False, seeds=5),
        stdcl=dict(config='gestures.py', against='plain', seeds=5))

Names that begin with ``_`` are private to the file.
"""
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, List

from mmengine.config import Config

from ..catalogue import ROOT, STREAMS, find_config, require_known
from ..utils.config_check import UNREADABLE
from ..utils.input_error import InputError

# field -> its type
STUDY = dict(about=str, arms=dict, benchmark=str, threads=int, folds=int,
             options=dict, encoders=dict, tests=dict, ensembles=dict,
             means=dict)
ARM = dict(seeds=(int, list), config=str, encoder=str, stream=str, stdcl=bool,
           options=dict, against=str)
TESTS = dict(top1_clips=dict, train_top1_eval=dict)


@dataclass(frozen=True)
class Training:
    """One training: an arm with one seed.

    ``encoder`` and ``stream`` are '' with a config of the user's own, whose
    name is then ``data``. ``fold`` is 0 if the study has no folds.
    """
    arm: str
    fold: int
    seed: int
    encoder: str
    stream: str
    data: str
    stdcl: bool
    config: Path
    options: Dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its work directory."""
        return f'{self.arm}_seed-{self.seed}'


@dataclass
class Study:
    """A study file, read and checked.

    ``trainings`` are in the order in which they run: all arms with their
    first seed, then all with their second, and so on. ``against`` maps an arm
    to the one that it is compared with. The other fields are those of the
    file.
    """
    path: Path
    about: str
    threads: int
    arms: List[str]
    trainings: List[Training]
    against: Dict[str, str]
    tests: Dict[str, dict]
    ensembles: Dict[str, List[str]]
    means: Dict[str, List[str]]

    @property
    def name(self) -> str:
        """Stem of the file name."""
        return self.path.stem

    def arm(self, name: str) -> List[Training]:
        """Trainings of an arm, in the order of their seeds."""
        return [item for item in self.trainings if item.arm == name]

    def matching(self, pattern: str) -> List[Training]:
        """Trainings of the arms that match a shell pattern.

        Raises:
            InputError: No arm matches.
        """
        found = [item for item in self.trainings if fnmatch(item.arm, pattern)]
        if not found:
            raise InputError(f'--only is {pattern!r}, which matches no arm of '
                             f'{self.name}; expected {", ".join(self.arms)} '
                             'or a pattern.')
        return found


def read_study(path: Path) -> Study:
    """Read a study file, see the head of this module.

    Raises:
        InputError: A field is missing, unknown, of the wrong type, or names
            something that does not exist.
    """
    path = Path(path)
    try:
        content = Config.fromfile(str(path)).to_dict()
    except UNREADABLE as error:
        raise InputError(f'{path} cannot be read as a study: {error}'
                         ) from None
    content = {name: value for name, value in content.items()
               if not name.startswith('_')}
    _check_fields(str(path), content, STUDY, ('about', 'arms'))
    for name in ('threads', 'folds'):
        if content.get(name, 1) < 1:
            raise InputError(f'{path}: {name} is {content[name]}, expected at '
                             'least 1.')
    arms = content['arms']
    trainings = [training for name, arm in arms.items()
                 for training in _read_arm(path, content, name, arm)]
    trainings.sort(key=lambda item: item.seed)  # stable: arms in their order
    study = Study(
        path, content['about'], content.get('threads', 1), list(arms),
        trainings, {name: arm['against'] for name, arm in arms.items()
                    if 'against' in arm},
        *(content.get(name, {}) for name in ('tests', 'ensembles', 'means')))
    _check_fields(f'{path}: tests', study.tests, TESTS)
    _check_references(study)
    return study


def _check_fields(where: str, content: dict, types: dict,
                  required: tuple = ()) -> None:
    """Check the names and types of fields."""
    for name, value in content.items():
        if name not in types:
            raise InputError(f'{where}: unknown field {name!r}, expected some '
                             f'of {", ".join(types)}.')
        # True is an int in Python
        if not isinstance(value, types[name]) or (
                isinstance(value, bool) and types[name] is not bool):
            raise InputError(f'{where}: {name} is {value!r}, expected '
                             f'{types[name]}.')
    for name in required:
        if name not in content:
            raise InputError(f'{where}: {name!r} is missing.')


def _read_arm(path: Path, content: dict, name: str,
              arm: dict) -> List[Training]:
    """All trainings of an arm."""
    where = f'{path}: arms.{name}'
    if not name or '/' in name:
        raise InputError(f'{where}: expected a name without "/".')
    _check_fields(where, arm, ARM, ('seeds',))
    own = arm.get('config')
    if bool(own) == bool({'encoder', 'stream'} & arm.keys()):
        raise InputError(f'{where} has {", ".join(arm)}; expected either '
                         'config, or encoder and optionally stream.')
    encoder, stdcl = arm.get('encoder', ''), arm.get('stdcl', True)
    stream = '' if own else arm.get('stream', 'joint')
    data = Path(own).stem if own else content.get('benchmark', 'nw-ucla-xview')
    try:
        require_known('stream', stream, ('', *STREAMS))
        config = _find_own(path, own) if own else find_config(
            encoder, data, stdcl)
    except InputError as error:
        raise InputError(f'{where}: {error}') from None
    options = {**content.get('options', {}),
               **content.get('encoders', {}).get(encoder, {}),
               **arm.get('options', {})}
    if stream not in ('', 'joint'):
        options['model.data_preprocessor.stream'] = stream
    folds = content.get('folds', 1)
    return [Training(
        name, seed % folds, seed, encoder, stream, data, stdcl, config,
        {key: value.replace('{fold}', str(seed % folds))
         if isinstance(value, str) else value
         for key, value in options.items()})
            for seed in _read_seeds(where, arm['seeds'])]


def _read_seeds(where: str, seeds: Any) -> List[int]:
    """Seeds of an arm, from a list or their number."""
    found = list(range(seeds)) if isinstance(seeds, int) else seeds
    if not found or len(set(map(str, found))) < len(found) or not all(
            type(seed) is int and seed >= 0 for seed in found):
        raise InputError(f'{where}: seeds is {seeds}, expected a number of at '
                         'least 1 or a list of distinct integers from 0.')
    return sorted(found)


def _find_own(study: Path, name: str) -> Path:
    """Find a config of the user's own."""
    for folder in (study.resolve().parent, ROOT):
        path = (folder / name).resolve()
        # a study may have the name of the config that it is about
        if path.is_file() and path != study.resolve():
            return path
    raise InputError(f'config is {name!r}, expected a file in '
                     f'{study.resolve().parent} or {ROOT}.')


def _check_references(study: Study) -> None:
    """Fields that name arms must name arms that fit."""
    seeds = {arm: [item.seed for item in study.arm(arm)]
             for arm in study.arms}
    for arm, other in study.against.items():
        require_known(f'{study.path}: arms.{arm}.against', other, study.arms)
        if not set(seeds[arm]) <= set(seeds[other]):
            raise InputError(
                f'{study.path}: arms.{arm} has seeds {seeds[arm]}, but '
                f'{other!r}, which it is compared with, has {seeds[other]}.')
    for field, groups, known in (('ensembles', study.ensembles, study.arms),
                                 ('means', study.means, study.against)):
        for name, arms in groups.items():
            for arm in arms:
                require_known(f'{study.path}: {field}.{name}', arm, known)
    for name, arms in study.ensembles.items():
        if any(seeds[arm] != seeds[arms[0]] for arm in arms):
            raise InputError(f'{study.path}: ensembles.{name}: its arms have '
                             'different seeds, expected the same.')
