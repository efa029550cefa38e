"""A config's names and numbers, checked before anything is built from it.

MMEngine passes over a top-level name that nobody knows, and tells of another
wrong name only when the part it belongs to is built, by a traceback.
"""
import ast
import functools
import inspect
import itertools
import re
import textwrap
import traceback
from argparse import ArgumentParser
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from numbers import Integral
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Union

import torch.nn as nn
import yaml
from mmengine import registry as registries
from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .input_error import InputError

NEAR = 0.85  # likeness from which a name is taken for another's misspelling


def _parameters(function: Callable) -> frozenset:
    return frozenset(inspect.signature(function).parameters) - {'self'}


RUNNER_FIELDS = (_parameters(Runner.__init__) - {'cfg'}) | {
    'activation_checkpointing', 'compile', 'custom_imports',
    'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg',
    'runner_type', 'sync_bn'}
# what MMEngine raises for a config file that is at fault
UNREADABLE = (OSError, SyntaxError, KeyError, ValueError, ImportError,
              ConfigParsingError, yaml.YAMLError)
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# fields that are dicts without a type -> the names they may hold
PLAIN = {
    'randomness': _parameters(Runner.set_randomness),
    'auto_scale_lr': frozenset(('enable', 'base_batch_size')),
    'env_cfg': frozenset(('cudnn_benchmark', 'dist_cfg', 'mp_cfg',
                          'resource_limit')),
    **dict.fromkeys(LOADERS, _parameters(DataLoader.__init__) | {
        'disable_subprocess_warning', 'num_batch_per_epoch'})}
# name of an entry, wherever it is -> the registry of its types; what is in an
# entry of another name has the registry of what it is in
REGISTRIES = dict(
    backbone=registries.MODELS,
    batch_sampler=registries.DATA_SAMPLERS,
    cls_head=registries.MODELS,
    collate_fn=registries.FUNCTIONS,
    custom_hooks=registries.HOOKS,
    data_preprocessor=registries.MODELS,
    dataset=registries.DATASETS,
    datasets=registries.DATASETS,
    default_hooks=registries.HOOKS,
    init_cfg=registries.WEIGHT_INITIALIZERS,
    log_processor=registries.LOG_PROCESSORS,
    metrics=registries.METRICS,
    model=registries.MODELS,
    model_wrapper_cfg=registries.MODEL_WRAPPERS,
    optim_wrapper=registries.OPTIM_WRAPPERS,
    optimizer=registries.OPTIMIZERS,
    param_scheduler=registries.PARAM_SCHEDULERS,
    pipeline=registries.TRANSFORMS,
    prepare=registries.TRANSFORMS,
    sampler=registries.DATA_SAMPLERS,
    test_cfg=registries.LOOPS,
    test_evaluator=registries.METRICS,
    train_cfg=registries.LOOPS,
    transforms=registries.TRANSFORMS,
    val_cfg=registries.LOOPS,
    val_evaluator=registries.METRICS,
    vis_backends=registries.VISBACKENDS,
    visualizer=registries.VISUALIZERS,
    worker_init_fn=registries.FUNCTIONS)
# entries that cannot do without a type; each of default_hooks too
TYPED = ('model', 'dataset', 'datasets', 'pipeline', 'prepare', 'sampler',
         'optimizer', 'custom_hooks', 'train_cfg')
DEFAULT_TYPES = dict(optim_wrapper='OptimWrapper', val_cfg='ValLoop',
                     test_cfg='TestLoop', log_processor='LogProcessor')
# what the builders take out before they call the constructor
BUILDERS = {'hook': {'priority'}, 'loop': {'by_epoch'},
            'optim_wrapper': {'constructor', 'paramwise_cfg'},
            'parameter scheduler': {'convert_to_iter_based'}}
EVERYWHERE = {'type', '_scope_'}
# numbers that make no sense below a bound, wherever they are
LEAST = dict(batch_size=1, clip_len=1, max_epochs=1, max_iters=1,
             num_classes=1, num_clips=1, num_person=1, num_workers=0, times=1,
             val_interval=1)


def parse_options(texts: Optional[Sequence[str]]) -> dict:
    """Parse the arguments of ``--cfg-options``.

    Args:
        texts (sequence[str], optional): KEY=VALUE each; None for none.

    Returns:
        dict: Dotted name -> value.

    Raises:
        InputError: One of them is not KEY=VALUE.
    """
    options = {}
    for text in texts or ():
        key, equals, value = text.partition('=')
        if not key or not equals:
            raise InputError(f'--cfg-options has {text!r}, expected '
                             'KEY=VALUE.')
        try:
            options[key] = DictAction._parse_iterable(value)
        except AssertionError as error:
            raise InputError(f'--cfg-options has {text!r}: {error}') from None
    return options


def key_value(text: str) -> str:
    """The type of an argument of --cfg-options, for argparse."""
    parse_options([text])
    return text


def add_model_arguments(parser: ArgumentParser) -> None:
    """Arguments of a tool that takes a trained model.

    ``config`` and ``checkpoint``, in this order, and ``--cfg-options``.
    """
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file (*.pth)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, type=key_value,
        metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')


def load_config(path: str, options: Union[dict, Sequence[str], None] = None
                ) -> Config:
    """Read a config file and merge options into it.

    Args:
        path (str): The config file.
        options (dict | sequence[str], optional): Dotted name -> value, or
            the arguments of --cfg-options, KEY=VALUE each.

    Returns:
        Config: The config.

    Raises:
        InputError: The file is not there or cannot be read, or an option
            would change nothing.
    """
    if not isinstance(options, dict):
        options = parse_options(options)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        where, why = _config_at_fault(error)
        if why is None:
            raise
        raise InputError(
            f'{where or path}: the config cannot be read '
            f'({type(why).__name__}: {why}); expected a Python, YAML or JSON '
            'file whose bases and custom_imports exist.') from error
    for name in options or ():
        field = name.partition('.')[0]
        if field not in RUNNER_FIELDS:
            what = ('is a variable that the config has read already'
                    if field in cfg else 'nothing would read')
            places = [f'{place}.{name}' for place in _entries_with(cfg, name)]
            raise InputError(
                f'--cfg-options has {name}, which {what}; expected a field of '
                f'the Runner{_nearest(field, RUNNER_FIELDS, 0.6)}'
                f'{f", such as {places[0]}" if places else ""}.')
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f'--cfg-options has {", ".join(options)}, expected names that '
            f'lead into the config ({error}).') from error
    return cfg


def _config_at_fault(error: Exception) -> tuple:
    """Line of the config that failed, if one did, and the error to tell of.

    The error is None where it is of code that a config imports.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if any(frame.name == 'import_modules_from_strings' for frame in frames):
        return None, None
    if isinstance(error, ImportError):  # MMEngine's own hides the first
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
    if frames[-1].name == '<module>':  # the config's own code
        return f'{frames[-1].filename}, line {frames[-1].lineno}', error
    return None, error if isinstance(error, UNREADABLE) else None


@contextmanager
def checked(cfg: Config, required: Sequence[str]) -> Iterator[None]:
    """Check a config, and explain what goes wrong while it is built.

    Args:
        cfg (Config): The config, as the Runner gets it.
        required (sequence[str]): Fields that the Runner cannot do without.

    Raises:
        InputError: A name in the config is unknown to what it is for, or a
            number is impossible. The text gives the nearest right name.
    """
    check(cfg, required)
    try:
        yield
    except (AssertionError, KeyError, TypeError) as error:
        text = _explain(error, cfg)
        if text is None:
            raise
        raise InputError(text) from error


def check(cfg: Config, required: Sequence[str] = ()) -> None:
    """Check names and numbers of a config.

    - A field of the Runner may be missing only if it is not required, and no
      other top-level name may be nearly one.
    - Every ``type`` must be in a registry.
    - What stands beside it must be what the constructor takes, through its
      base classes. Where a constructor takes anything, only a name that is
      nearly one of its own is refused.
    - Some numbers have a least value.

    Args and raises as in :func:`checked`.
    """
    for name in required:
        if cfg.get(name) is None:
            raise InputError(f'{name} is missing, expected a dict'
                             f'{_nearest(name, set(cfg) - RUNNER_FIELDS)}.')
    for name in sorted(set(cfg) - RUNNER_FIELDS):
        if get_close_matches(name, RUNNER_FIELDS, 1, NEAR):
            raise InputError(f'{name} is no field of the Runner, expected '
                             f'another name{_nearest(name, RUNNER_FIELDS)}.')
    scope = cfg.get('default_scope', 'mmengine')
    for name in sorted(RUNNER_FIELDS.intersection(cfg)):
        value = cfg[name]
        if name in PLAIN and isinstance(value, dict):
            _check_names(name, value, 'it', PLAIN[name])
        if name == 'default_hooks':
            for key, hook in (value or {}).items():
                _check_entry(f'{name}.{key}', hook, 'custom_hooks',
                             registries.HOOKS, scope,
                             siblings=set(value) - {key})
        elif name in REGISTRIES or name in LOADERS:
            _check_entry(name, value, name, REGISTRIES.get(name), scope)


def _check_entry(path: str, value: Any, role: str,
                 registry: Optional[Registry], scope: str,
                 siblings: Iterable[str] = ()) -> None:
    """Check an entry and all that is in it.

    Args:
        path (str): Its dotted name.
        value (Any): The entry.
        role (str): Its name, or that of the list that it is in.
        registry (Registry, optional): Where its type is.
        scope (str): The scope to look in.
        siblings (iterable[str]): Names that may have been meant by its own.
    """
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_entry(f'{path}.{index}', item, role, registry, scope)
    if not isinstance(value, dict):
        return
    if registry is registries.METRICS and 'metrics' in value:
        registry = registries.EVALUATOR
    scope = value.get('_scope_', scope)
    kind = value.get('type', _default_type(path, value))
    if kind is not None:
        _check_object(path, value, kind, role, registry, scope)
    elif role in TYPED:
        raise InputError(f'{path} has no type, expected the name of a class'
                         f'{_nearest(path.rpartition(".")[2], siblings)}.')
    for name, item in value.items():
        # MMAction2 also has dicts of numbers, by modality
        if name in LEAST and isinstance(item, (int, float, str)):
            _check_number(f'{path}.{name}', item, LEAST[name])
        _check_entry(f'{path}.{name}', item, name,
                     REGISTRIES.get(name, registry), scope)


def _default_type(path: str, value: dict) -> Optional[str]:
    if path == 'train_cfg' and 'by_epoch' in value:
        return ('EpochBasedTrainLoop' if value['by_epoch']
                else 'IterBasedTrainLoop')
    # a constructor of its own makes of it what it likes
    return None if 'constructor' in value else DEFAULT_TYPES.get(path)


def _check_number(path: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or (
            value < least):
        raise InputError(f'{path} is {value!r}, expected a whole number of '
                         f'at least {least}.')


def _check_object(path: str, value: dict, kind: Any, role: str,
                  registry: Optional[Registry], scope: str) -> None:
    """Check the type of a dict, and what its constructor is to get."""
    constructor = kind
    if isinstance(kind, str):
        constructor = _find(kind, registry, scope)
    if constructor is None:
        _check_type(path, kind, role, registry, scope)
        return
    names, anything = _keywords(constructor)
    # helpers that read norm_cfg and the like take their own out before
    anything = anything or ('.' in path and path.endswith('_cfg'))
    _check_names(path, value, getattr(constructor, '__name__', str(kind)),
                 names, EVERYWHERE | BUILDERS.get(
                     registry.name if registry else '', set()), anything)


def _check_type(path: str, kind: str, role: str,
                registry: Optional[Registry], scope: str) -> None:
    """Refuse a type that is in no registry, where it must be in one."""
    if '.' in kind:  # of another package
        return
    known = _registered(registry, scope)
    # others may be looked up by the model itself
    if role in REGISTRIES or get_close_matches(kind, known, 1, NEAR):
        raise InputError(
            f'{path}.type is {kind!r}, expected the name of a '
            f'{registry.name}{_nearest(kind, known, 0.6)}.')


def _check_names(path: str, value: dict, owner: str, names: frozenset,
                 others: Iterable[str] = (), anything: bool = False) -> None:
    """Refuse names that an owner does not take."""
    for name in value:
        if name in names or name in others:
            continue
        if not anything or get_close_matches(str(name), names, 1, NEAR):
            raise InputError(
                f'{path} has {name}, which {owner} does not take; expected '
                f'one of {", ".join(sorted(names)) or "nothing"}'
                f'{_nearest(str(name), {*names, *others}, 0.6)}.')


def _nearest(name: str, known: Iterable[str], cutoff: float = NEAR) -> str:
    near = get_close_matches(name, sorted(known), 1, cutoff)
    return f', the nearest is {near[0]}' if near else ''


def _find(kind: str, registry: Optional[Registry], scope: str) -> Any:
    """What a name stands for in a registry, or None."""
    if registry is None:
        return None
    with registry.switch_scope_and_registry(scope) as scoped:
        for candidate in (scoped, registry):
            # a dotted name, or the registry's own modules, not importable
            with suppress(ImportError, RuntimeError):
                found = candidate.get(kind)
                if found is not None:
                    return found
    return None


def _registered(registry: Optional[Registry], scope: str) -> set:
    """Names in a registry and those it falls back on."""
    names = set()
    if registry is not None:
        with registry.switch_scope_and_registry(scope) as scoped:
            while scoped is not None:
                names.update(scoped.module_dict)
                scoped = scoped.parent
    return names


@functools.lru_cache(maxsize=None)
def _keywords(function: Callable) -> tuple:
    """Keywords of a class or function, and whether it may take others too."""
    calls = [function]
    if inspect.isclass(function):
        owners = itertools.takewhile(
            lambda owner: owner not in (object, nn.Module),  # take none
            inspect.getmro(function))
        calls = [vars(owner)['__init__'] for owner in owners
                 if '__init__' in vars(owner)]
    names, anything = set(), False
    for call in calls:
        try:
            parameters = inspect.signature(call).parameters.values()
        except (TypeError, ValueError):  # not written in Python
            return frozenset(names), True
        names.update(item.name for item in parameters
                     if item.kind in (item.POSITIONAL_OR_KEYWORD,
                                      item.KEYWORD_ONLY))
        rest = [item.name for item in parameters
                if item.kind == item.VAR_KEYWORD]
        if not rest:
            break
        anything = anything or not _passes_on(call, rest[0])
    return frozenset(names - {'self'}), anything


def _passes_on(function: Callable, rest: str) -> bool:
    """Whether a constructor gives its ``**rest`` to a base class alone."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute)]
    passed = _uses(rest, *(node for node in calls
                           if node.func.attr == '__init__'))
    read = _uses(rest, *(node.func for node in calls
                         if node.func.attr == 'get'))
    return bool(passed) and _uses(rest, tree) <= passed | read


def _uses(name: str, *trees: ast.AST) -> set:
    return {node for tree in trees for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id == name}


def _explain(error: Exception, cfg: Config) -> Optional[str]:
    """What in a config a builder's or constructor's error is about, if any.

    For constructors that hand any keyword on, which the check lets through.
    """
    text = str(error.args[0]) if error.args else ''
    unexpected = re.search(
        r"(?:unexpected keyword argument |Invalid arguments: {)'(\w+)'", text)
    if unexpected:
        entries = _entries_with(cfg, unexpected[1])
        if entries:
            return (f'{" or ".join(entries)} has {unexpected[1]}, expected '
                    f'only what it takes ({text}).')
    missing = re.search(r'(\w+)\.__init__\(\) missing \d+ required .*'
                        r'arguments?: (.*)', text)
    if missing:
        entries = _entries_with(cfg, 'type', missing[1])
        if entries:
            return (f'{entries[0]} (type {missing[1]}) lacks '
                    f'{missing[2]}, expected a value.')
    if text.startswith('`epoch_length` must be'):
        return ('train_dataloader gives 0 batches an epoch, expected at least '
                'one: batch_size is more than there are sequences.')
    builders = (r'is not in the .+ registry', r'must contain the key "type"')
    return text if any(re.search(said, text) for said in builders) else None


def _entries_with(cfg: Config, name: str, value: Any = None) -> list:
    """Dotted names of the dicts that have an entry, of a value if given."""
    found = []

    def look(path: str, entry: Any) -> None:
        if isinstance(entry, dict):
            if name in entry and value in (None, entry[name]):
                found.append(path)
            pairs = entry.items()
        else:
            pairs = enumerate(entry)
        for key, item in pairs:
            if isinstance(item, (dict, list, tuple)):
                look(f'{path}.{key}', item)

    for field in sorted(RUNNER_FIELDS.intersection(cfg)):
        if isinstance(cfg[field], (dict, list, tuple)):
            look(field, cfg[field])
    return found
