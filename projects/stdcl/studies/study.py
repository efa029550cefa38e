"""Study files, which declare training runs to compare.

A study is a config file in Python, JSON or YAML; docs/guides/studies.md
contains an example. :class:`Study` lists the fields of the file, and
:class:`Arm` those of an arm. Names that begin with ``_`` are private.
"""
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from mmengine.config import Config

from ..catalogue import ENCODERS, STREAM_OPTION, STREAMS, find_config
from ..utils.input_error import InputError, require_known

TYPES = {str: 'a string', bool: 'True or False', int: 'an integer',
         dict: 'a dict', list: 'a list', list | int: 'an integer or a list'}


@dataclass
class Arm:
    """A configuration to train with several seeds.

    Exactly one of ``encoder``, ``config`` and ``fuse`` is required.

    Args:
        seeds (list | int): Seeds, or a number N for the seeds 0 to N - 1.
        encoder (str): A key of ``catalogue.ENCODERS``. Together with
            ``stdcl`` and the study's benchmark, it selects the config.
        config (str): Path of a config, relative to the study file.
        fuse (list[str]): Arms whose scores to sum, seed by seed, with the
            default weights of ``fuse_files`` (2:2:1:1 for the four streams),
            instead of training. The first one sets encoder, method and data.
        stream (str): A key of ``catalogue.STREAMS``. Defaults to 'joint', or
            to the stream of ``config``.
        stdcl (bool): Whether to train with STD-CL. With ``config``, this only
            sets the method in the results. Defaults to True.
        against (str): Arm to compare with, seed by seed. Defaults to none.
        options (dict): Options that override the study's and the encoder's.
    """
    seeds: list | int
    encoder: str = ''
    config: str = ''
    fuse: list = field(default_factory=list)
    stream: str = ''
    stdcl: bool = True
    against: str = ''
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """A training run of one arm with one seed.

    ``data`` is the benchmark, or the name of the arm's own config. ``fuse``
    names the work directories of the runs whose scores a fused arm sums.
    """
    arm: str
    fold: int
    seed: int
    encoder: str
    stream: str
    data: str
    stdcl: bool
    config: Path
    options: dict
    tests: dict = field(default_factory=dict)
    fuse: tuple = ()

    @property
    def name(self) -> str:
        """Name of the work directory of the run."""
        return f'{self.arm}_seed-{self.seed}'


@dataclass
class Study:
    """The content of a study file.

    Args:
        path (Path): The study file.
        about (str): Title of the study.
        arms (dict): The arms: name -> fields of an :class:`Arm`.
        benchmark (str): A key of ``catalogue.BENCHMARKS``. Defaults to
            'nw-ucla-xview'.
        threads (int): CPU threads of each run. Defaults to 1.
        folds (int | list[str]): Number or names of folds; seed s uses fold s
            modulo their number. Its name replaces ``{fold}`` in options.
            Defaults to 1.
        options (dict): Config options for all arms: dotted name -> value.
        encoders (dict): Encoder -> options that override ``options``.
        tests (dict): Further tests of each trained model: name -> config
            options. Their results are in ``top1_NAME`` and ``nll_NAME``.
        means (dict): Means in the report: name -> list of arms with
            ``against``, whose differences are averaged seed by seed.

    Raises:
        InputError: A field is invalid, or it refers to an unknown encoder,
            stream, arm or config.
    """
    path: Path
    about: str
    arms: dict
    benchmark: str = 'nw-ucla-xview'
    threads: int = 1
    folds: int | list = 1
    options: dict = field(default_factory=dict)
    encoders: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)
    means: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folds == [] or isinstance(self.folds, int) and self.folds < 1:
            raise InputError(f'{self.path}: folds is {self.folds}, expected a '
                             'positive integer or a list of names.')
        if isinstance(self.folds, int):
            self.folds = range(self.folds)
        for name, kind in dict(encoders=dict, tests=dict, means=list).items():
            for key, value in getattr(self, name).items():
                _require_type(f'{self.path}: {name}.{key}', value, kind)
        for encoder in self.encoders:
            require_known(f'{self.path}: encoders', encoder, ENCODERS)
        for name in {*self.tests} & {'best', 'last', 'scores'}:
            raise InputError(f'{self.path}: tests contains {name!r}, expected '
                             'names other than best, last and scores.')
        self.arms = {name: _build(Arm, f'{self.path}: arms.{name}', arm)
                     for name, arm in self.arms.items()}
        # sorted by seed, so that an unfinished study compares all arms
        self.trainings = sorted(
            (training for name in self.arms
             for training in self._read_arm(name)),
            key=lambda training: training.seed)
        self.against = {name: arm.against for name, arm in self.arms.items()
                        if arm.against}
        for arm in self.against.values():
            require_known(f'{self.path}: against', arm, self.arms)
        for arm in chain(*self.means.values()):
            require_known(f'{self.path}: means', arm, self.against)

    @property
    def name(self) -> str:
        """File name without its extension."""
        return self.path.stem

    def matching(self, pattern: str) -> list[Training]:
        """List the runs of matching arms; raise InputError if none match."""
        found = [item for item in self.trainings
                 if fnmatchcase(item.arm, pattern)]
        if not found:
            raise InputError(f'--only {pattern!r} matches no arm of '
                             f'{self.name}, expected a pattern that matches '
                             f'at least one of {", ".join(self.arms)}.')
        return found

    def _read_arm(self, name: str) -> list[Training]:
        arm, where = self.arms[name], f'{self.path}: arms.{name}'
        if type(name) is not str or not name or '/' in name:
            raise InputError(f'{self.path}: the name of an arm is {name!r}, '
                             'expected a nonempty name without "/".')
        num = sum(map(bool, (arm.config, arm.encoder, arm.fuse)))
        if num != 1:
            raise InputError(f'{where} sets {num} of encoder, config and '
                             'fuse, expected exactly one.')
        seeds = range(arm.seeds) if isinstance(arm.seeds, int) else arm.seeds
        if not seeds or not all(type(seed) is int and seed >= 0 for seed
                                in seeds) or len(set(seeds)) < len(seeds):
            raise InputError(
                f'{where}.seeds is {arm.seeds}, expected a positive integer '
                'or a list of distinct nonnegative integers.')
        if arm.fuse:
            return self._fuse(name, arm.fuse, seeds)
        config = self.path.resolve().parent / arm.config if arm.config else (
            find_config(arm.encoder, self.benchmark, arm.stdcl))
        if not config.is_file():
            raise InputError(f'{where}.config: {config} does not exist.')
        options = override(self.options, self.encoders.get(arm.encoder, {}),
                           arm.options)
        require_known(f'{where}.stream', arm.stream, ('', *STREAMS))
        if arm.stream and (arm.stream != 'joint' or arm.config
                           or STREAM_OPTION in options):
            options[STREAM_OPTION] = arm.stream
        trainings = []
        for seed in seeds:
            fold = seed % len(self.folds)
            filled = _fill(options, self.folds[fold])
            stream = arm.stream or filled.get(STREAM_OPTION) or (
                '' if arm.config else 'joint')
            if not arm.config:  # which may have streams of its own
                require_known(f'{where}: {STREAM_OPTION}', stream, STREAMS)
            trainings.append(Training(
                name, fold, seed, arm.encoder, stream,
                config.stem if arm.config else self.benchmark, arm.stdcl,
                config, filled, {test: _fill(values, self.folds[fold])
                                 for test, values in self.tests.items()}))
        return trainings

    def _fuse(self, name: str, arms: list[str], seeds) -> list[Training]:
        """Return a fusion per seed, with the other fields of the first arm."""
        trained = [arm for arm, one in self.arms.items() if not one.fuse]
        for arm in arms:
            require_known(f'{self.path}: arms.{name}.fuse', arm, trained)
        parts = [{item.seed: item for item in self._read_arm(arm)}
                 for arm in arms]
        missing = {seed for part in parts for seed in set(seeds) - set(part)}
        if missing:
            raise InputError(f'{self.path}: arms.{name}.seeds contains '
                             f'{min(missing)}, expected only seeds of all the '
                             'fused arms.')
        return [replace(parts[0][seed], arm=name, stream='fused', tests={},
                        fuse=tuple(part[seed].name for part in parts))
                for seed in seeds]


def override(*parts: dict) -> dict:
    """Merge options.

    The last part that contains an option determines its value and its place.
    """
    merged = {}
    for part in parts:
        kept = {name: merged[name] for name in merged if name not in part}
        merged = {**kept, **part}
    return merged


def _fill(value, fold: str | int):
    """Replace ``{fold}`` in a text, or in the texts of a dict or list."""
    if isinstance(value, str):
        return value.replace('{fold}', str(fold))
    if isinstance(value, dict):
        return {name: _fill(one, fold) for name, one in value.items()}
    return ([_fill(one, fold) for one in value] if isinstance(value, list)
            else value)


def read_study(path: Path) -> Study:
    """Read a study file.

    An ``InputError`` is raised if it cannot be read, if a field is missing or
    unknown, or if :class:`Study` rejects a field.
    """
    try:
        content = Config.fromfile(str(path)).to_dict()
    except Exception as error:  # the type depends on the mistake
        raise InputError(f'{path} cannot be read as a study file: '
                         f'{error}') from None
    content = {name: value for name, value in content.items()
               if not name.startswith('_')}
    return _build(Study, str(path), dict(content, path=Path(path)))


def _require_type(where: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InputError(f'{where} is {value!r}, expected {TYPES[kind]}.')


def _build(kind: type, where: str, content: dict):
    """Build a dataclass from a dict, or raise an ``InputError``."""
    _require_type(where, content, dict)
    types = {entry.name: entry.type for entry in fields(kind)}
    for name, value in content.items():
        if name not in types:
            raise InputError(f'{where}: {name} is not a field, expected one '
                             f'of {", ".join(sorted({*types} - {"path"}))}.')
        _require_type(f'{where}: {name}', value, types[name])
    for entry in fields(kind):  # both defaults are MISSING if required
        if entry.default is entry.default_factory and (
                entry.name not in content):
            raise InputError(f'{where}: {entry.name} is missing, expected '
                             f'{TYPES[entry.type]}.')
    return kind(**content)
