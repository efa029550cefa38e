"""Load configs and report misspelled names before anything is built.

MMEngine ignores unknown top-level names; for other names, it raises an error
with a traceback. This module reports the place and the closest valid name.
"""
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from difflib import get_close_matches
from numbers import Integral, Real
from textwrap import shorten
from typing import Any

from mmaction import registry as registries
from mmengine.config import Config, DictAction
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry, build_from_cfg
from mmengine.runner import Runner
from mmengine.utils import get_object_from_string, import_modules_from_strings
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from .input_error import InputError
from .model_parts import kind_of

# modules that do not contain code of users
KNOWN = ('projects.stdcl.', 'mmaction.', 'mmcv.', 'mmengine.', 'torch.',
         'contextlib')
NEAR = 0.85  # similarity above which a name counts as a misspelling


def _parameters(function: Callable) -> dict:
    """Return a dict of name -> words in the annotation."""
    return {name: set(re.findall(r'\w+', str(one.annotation))) for name, one
            in inspect.signature(function).parameters.items()
            if name not in ('self', 'args', 'kwargs')}


RUNNER_FIELDS = {*_parameters(Runner.__init__)} - {'cfg'} | {
    'activation_checkpointing', 'compile', 'custom_imports',
    'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg',
    'runner_type', 'strategy', 'sync_bn'}
# fields that need no type -> callable that receives their entries
IMPLIED = dict(
    {'optim_wrapper.clip_grad': clip_grad_norm_},
    randomness=Runner.set_randomness, optim_wrapper=OptimWrapper,
    train_dataloader=DataLoader, val_dataloader=DataLoader,
    test_dataloader=DataLoader)
# fields anywhere in a config -> smallest value (an int admits only integers)
MINIMA = dict(accumulative_counts=1, base_batch_size=1, base_channels=1,
              batch_size=1, clip_len=1, max_epochs=1, max_iters=1,
              num_classes=1, num_clips=1, num_person=1, num_sequences=1,
              num_stages=1, num_workers=0, seed=0, times=1, val_begin=0,
              val_interval=1, spatial_weight=0., temporal_weight=0.)
POSITIVE = {'clip_value', 'lr', 'max_norm'}  # 0 would change no weight
# fields that cannot be omitted by setting them to None
PARTS = {'backbone', 'cls_head', 'collate_fn', 'dataset', 'decoupler',
         'loss_contrast', 'memory_bank', 'mp_cfg', 'optimizer', 'sampler'}
# their annotations are too narrow: PyTorch also accepts lists or texts
WIDER = {'eta_max', 'norm_type'}
SEQUENCES = {'List', 'Sequence', 'Tuple', 'list', 'tuple'}
# an annotation of only these words means that a config must set a number
NUMERIC = {'bool', 'int', 'float', 'Tensor', 'torch', 'class', 'typing',
           'Optional', 'Union', 'None', 'NoneType'}


def parse_options(texts: Sequence[str] | None) -> dict:
    """Parse KEY=VALUE texts into a dict, or raise an ``InputError``."""
    options = {}
    for text in texts or ():
        key, equals, value = text.partition('=')
        if not key or not equals:
            raise InputError(f'--cfg-options contains {text!r}, expected '
                             'KEY=VALUE.')
        value = value.strip('\'" ')
        parse = DictAction._parse_int_float_bool
        if key == 'work_dir':  # its name may look like a number
            parse = str
        elif re.search(r'^[\[(]|,', value):  # this parser removes all spaces
            parse = DictAction._parse_iterable
        try:
            options[key] = parse(value)
        except AssertionError as error:
            raise InputError(
                f'--cfg-options contains {text!r}: {error}') from None
    return options


def load_config(path: str, options: dict | Sequence[str] | None = None
                ) -> Config:
    """Load a config file and override some of its entries.

    ``options`` are the entries to override: a dict of dotted name -> value, or
    KEY=VALUE strings. An ``InputError`` says which file or option is invalid.
    """
    if not isinstance(options, dict):
        options = parse_options(options)
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:  # the type depends on the mistake
        while isinstance(error, ImportError) and error.__context__:
            error = error.__context__  # MMEngine hides the original error
        lines = [f'{frame.filename}, line {frame.lineno}' for frame
                 in traceback.extract_tb(error.__traceback__)
                 if frame.name == '<module>']  # of configs and own modules
        where = lines[-1] if lines else path
        raise InputError(
            f'{where}: the config cannot be read ({type(error).__name__}: '
            f'{error}); expected a Python, YAML or JSON file whose bases and '
            'custom_imports exist.') from error
    for name in options:
        _check_option(name, cfg)
    try:  # merging changes dicts; all at once, one may replace another
        for name, value in sorted(  # _delete_ first
                deepcopy(options).items(),
                key=lambda option: not option[0].endswith('._delete_')):
            cfg.merge_from_dict({name: value})
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f'the config option {name} does not match the config, expected '
            f'an entry that exists in it ({error}).') from error
    try:  # options may have changed them
        import_modules_from_strings(
            **{'imports': [], **(cfg.get('custom_imports') or {})})
    except ImportError as error:
        raise InputError(f'custom_imports: {error}') from error
    check(cfg)
    return cfg


def _check_option(name: str, cfg: Config) -> None:
    """Raise an ``InputError`` if overriding ``name`` would have no effect."""
    known = RUNNER_FIELDS - {'launcher'}  # an argument of train.py
    field = name.partition('.')[0]
    if field not in known:
        what = ('sets a variable that the config has already used'
                if field in cfg else 'sets a field that no Runner reads')
        places = [f', such as {place}.{name}' for place, entry in entries(cfg)
                  if name in entry] or ['']
        raise InputError(
            f'the config option {name} {what}; expected a field of the '
            f'Runner{places[0]}{_nearest(field, known, 0.6)}.')
    if field == 'data_preprocessor' and field in (cfg.get('model') or {}):
        raise InputError(f'the config option {name} has no effect, '
                         f'expected model.{name}, which the model uses.')


@contextmanager
def checked(cfg: Config, required: Sequence[str]) -> Iterator[None]:
    """Check a config, and explain errors that occur when it is built.

    An ``InputError`` is raised if a ``required`` field is missing, a
    constructor does not accept a name or a value, or a number is too small.
    """
    check(cfg, required)
    try:
        yield
    except InputError:
        raise
    except (AssertionError, AttributeError, LookupError, RuntimeError,
            TypeError, ValueError) as error:
        text = _explain(str(error.args[0]) if error.args else '', cfg)
        frames = [one for one, _ in traceback.walk_tb(error.__traceback__)]
        line = traceback.extract_tb(error.__traceback__)[-1].line
        frame = frames[-1]
        if (frame.f_globals['__name__'] == 'os'
                and cfg.get('launcher', 'none') != 'none'):
            text = (f'--launcher is {cfg.launcher}, but the environment '
                    f'variable {error} is missing. Start the processes with '
                    'torchrun, srun or mpirun, as tools/dist_train.sh does.')
        elif text is None and _rejects_value(error, frames, line):
            owner = (type(frame.f_locals['self']).__name__
                     if 'self' in frame.f_locals else frame.f_code.co_name)
            text = (f'{owner} does not accept a value: '
                    f'{shorten(str(error) or line, 300)}')
        if text is None:  # an error in users' code keeps its traceback
            raise
        raise InputError(text) from error


def _rejects_value(error: Exception, frames: list, line: str) -> bool:
    """Return whether a value is invalid, such as a negative learning rate."""
    modules = [frame.f_globals['__name__'] for frame in frames]
    built = next((frame.f_locals.get('obj_cls') for frame in reversed(frames)
                  if frame.f_code is build_from_cfg.__code__), None)
    known = getattr(built, '__module__', '').startswith(KNOWN)
    if known and modules[-1].startswith(('projects.stdcl.', 'torch.nn.')):
        return True
    in_constructor = frames[-1].f_code.co_name == '__init__'
    if in_constructor and not isinstance(error, (KeyError, RuntimeError)) and (
            known or built is None or re.search(r'\b(raise|assert)\b', line)):
        return True
    if not modules[-1].startswith(('mmengine.', 'mmaction.')) or not all(
            module.startswith(KNOWN) for module in modules):
        return False
    # raised on purpose, such as for a metric that occurs twice
    raised = line.startswith(('raise ', 'assert ')) and not error.__cause__
    return known or isinstance(error, AttributeError) or bool(
        raised and (error.args or line.startswith('assert ')))


def check(cfg: Config, required: Sequence[str] = ()) -> None:
    """Check the names and numbers of a config, and its ``required`` fields.

    An unknown name raises an ``InputError`` only if it resembles a valid one,
    because a constructor with ``**kwargs`` may accept it.
    """
    for name in required:
        if cfg.get(name) is None:
            raise InputError(f'{name} is missing, expected a dict'
                             f'{_nearest(name, set(cfg) - RUNNER_FIELDS)}.')
    for name in sorted(set(cfg) - RUNNER_FIELDS):
        near = _nearest(name, RUNNER_FIELDS)
        # variables such as val_dataloader_2 help to define fields
        if near and not re.search(r'(^|_)({})(_|\d|$)'.format('|'.join(
                RUNNER_FIELDS - {'model'} | {'model(?!_)'})), name):
            raise InputError(f'{name} is not a field of the Runner{near}.')
    for name, words in _parameters(Runner.__init__).items():
        value = cfg.get(name)
        expected = _expected(name, value, words)
        kinds = (str, int, float) + (() if 'List' in words else (list, ))
        if 'Dict' in words and isinstance(value, kinds):
            expected = 'a dict'
        if expected:
            raise InputError(f'{name} is {value!r}, expected {expected}.')
    hooks = cfg.get('default_hooks') or {}
    for name, hook in hooks.items() if isinstance(hooks, dict) else ():
        if isinstance(hook, (dict, str)) and 'type' not in hook:
            raise InputError(
                f'default_hooks.{name} has no type, expected a hook class'
                f'{_nearest(name, set(hooks) - {name})}.')
    for path, entry in entries(cfg):
        known = parameters_of(path, entry)
        missing = {'dataset', 'sampler'} - entry.keys()
        if path.endswith('_dataloader') and missing:
            raise InputError(f'{path}.{min(missing)} is missing, expected a '
                             'dict.')
        for name, value in entry.items():
            near = '' if name in known else _nearest(name, known)
            if near:
                raise InputError(f'{path} does not accept {name}{near}.')
            expected = _expected(name, value, known.get(name) or set())
            # a visualizer may log values of any kind
            if expected and not path.startswith('visualizer'):
                raise InputError(
                    f'{path}.{name} is {value!r}, expected {expected}.')
        kind = entry.get('type')
        for name, off in (('drop_last', False), ('num_batch_per_epoch', None)):
            if entry.get(name) and path.startswith(('val_', 'test_')):
                raise InputError(f'{path}.{name} is {entry[name]}, expected '
                                 f'{off}, because metrics must include all '
                                 'sequences.')
        if kind_of(entry) == 'InfiniteSampler' and (
                not path.startswith('train_')
                or 'max_epochs' in (cfg.get('train_cfg') or {})):
            raise InputError(f'{path}.type is InfiniteSampler, whose epochs '
                             'never end, expected DefaultSampler.')
        if ('train_cfg' in required and kind and (
                path.startswith('param_scheduler')
                or path == 'default_hooks.checkpoint')
                and 'max_iters' in cfg.train_cfg
                and entry.get('by_epoch', True) and 'Plateau' not in str(kind)
                and not entry.get('convert_to_iter_based')):
            raise InputError(f'{path}.by_epoch is True, expected False, '
                             'because train_cfg counts iterations.')
        begin, end = entry.get('val_begin'), entry.get('max_epochs')
        if begin is not None and end is not None and begin > end:
            raise InputError(f'{path}.val_begin is {begin}, expected at most '
                             f'{end}, the value of max_epochs.')


def entries(cfg: Config) -> Iterator[tuple]:
    """Yield (dotted name, dict) for every dict that the Runner reads."""

    def walk(path: str, value: Any) -> Iterator[tuple]:
        if isinstance(value, dict):
            yield path, value
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            if isinstance(item, (dict, list, tuple)):
                yield from walk(f'{path}.{key}', item)

    for field in sorted(RUNNER_FIELDS.intersection(cfg)):
        if isinstance(cfg[field], (dict, list, tuple)):
            yield from walk(field, cfg[field])


def _registered() -> Iterator[dict]:
    """Yield a dict of name -> class for each of MMAction2's registries."""
    for registry in vars(registries).values():
        while isinstance(registry, Registry):
            yield registry.module_dict
            registry = registry.parent


def _expected(name: str, value: Any, words: set) -> str | None:
    """Return what an invalid value must be, or None."""
    least = MINIMA.get(name)
    limit = 1024 if name == 'num_workers' else 2**32
    if isinstance(least, int) and isinstance(value, (Real, str)) and not (
            isinstance(value, Integral) and least <= value < limit):
        return f'an integer of at least {least} and below {limit}'
    if isinstance(least, float) and isinstance(value, Real) and value < least:
        return f'a number of at least {least:g}'
    if name == 'ann_file' and 'str' in words and isinstance(
            value, (Real, list, tuple)):  # own data sets may take a list
        return 'a path'
    # a transform of MMAction2 has a text named dataset
    if name in PARTS and (isinstance(value, (Real, type(None))) or isinstance(
            value, str) and name != 'dataset'):
        return 'a dict'
    if name in POSITIVE and isinstance(value, Real) and value <= 0:
        return 'a number above 0'
    kinds = words & {'bool', 'int', 'float'} if name not in WIDER else set()
    several = words & SEQUENCES
    takes_numbers = kinds and words <= NUMERIC | SEQUENCES
    no_number = isinstance(value, str if several else (str, list, tuple))
    if value != value or (takes_numbers and no_number):  # NaN != NaN
        expected = 'numbers' if several else 'a number'
        return 'True or False' if kinds == {'bool'} else expected
    return None


def parameters_of(path: str, entry: dict) -> dict:
    """Return the parameters of an entry's constructor; see _parameters."""
    kind = entry.get('type', IMPLIED.get(path))
    if isinstance(kind, str):
        if kind.startswith(('projects.stdcl.', 'mmaction.', 'mmengine.')):
            kind = kind_of(entry)
        kind = next((classes[kind] for classes in _registered()
                     if kind in classes), get_object_from_string(kind)
                    if '.' in kind else None)
    names = {'type': set()} if 'type' in entry else {}
    # a class may pass **kwargs to its bases
    for call in inspect.getmro(kind) if inspect.isclass(kind) else [kind]:
        with suppress(TypeError, ValueError):  # it has no Python signature
            names = {**_parameters(call), **names}
    return names


def _nearest(name: Any, known: Iterable[str], cutoff: float = NEAR) -> str:
    near = get_close_matches(str(name), sorted(known), 1, cutoff)
    return f'; the closest match is {near[0]}' if near else ''


def _explain(error: str, cfg: Config) -> str | None:
    """Explain a known error of a builder or constructor, or return None."""
    if error == 'None is not a callable object':  # from MMEngine
        error = (f'{cfg.optim_wrapper.optimizer.type} is not in the '
                 'mmengine::optimizer registry')
    found_in = list(entries(cfg))
    place_of = {'STDCLMixin': 'model.cls_head', **{
        str(entry.get('type')): path for path, entry in reversed(found_in)}}
    found = re.search(r"(?:(?:unexpected|multiple values for) keyword argument"
                      r" |Invalid arguments: {)'(\w+)'", error)
    if found:
        name = found[1]
        places = [(path, entry) for path, entry in found_in if name in entry]
        if places:
            near = _nearest(name, {*parameters_of(*places[0])} - {name}, 0.6)
            return (f'{" or ".join(path for path, _ in places)} does not '
                    f'accept {name} ({error}){near}.')
    found = re.search(
        r'(\w+)\.__init__\(\) missing \d+ required .*arguments?: (.*)', error)
    if found and found[1] in place_of:
        return (f'{place_of[found[1]]} (type {found[1]}) requires a value for '
                f'{found[2]}.')
    found = re.match(r'(\S+) is not in the \w+::(.+) registry', error)
    if found and found[1] in place_of:
        known = {name for classes in _registered() for name in classes}
        return (f'{place_of[found[1]]}.type is {found[1]!r}, expected the '
                f'name of a {found[2]}{_nearest(found[1], known, 0.6)}.')
    if error.startswith('`epoch_length` must be'):
        return ('train_dataloader yields 0 batches per epoch, expected at '
                'least one: batch_size exceeds the number of sequences.')
    # MMEngine prints the dict and its defaults on separate lines
    return (error.replace('\n', ' ')
            if 'must contain the key "type"' in error else None)
