"""Save and load checkpoints safely; see docs/internals/stack_repairs.md.

Files contain only tensors and plain containers, which ``weights_only=True``
requires. Loading never runs code, not even that of a stored config. Only
complete files get their final name, and resuming skips damaged ones.
``init_recognizer`` raises an error if tensors, stream or layout do not fit.
"""
import functools
import io
import logging
import os.path as osp
import pickle
import re
from collections import OrderedDict
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any
from urllib.error import URLError

import mmengine.runner
import numpy as np
import torch
from mmaction.apis import inference
from mmengine.dist import broadcast_object_list
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer, MessageHub, print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as checkpoint_module
from mmengine.runner import runner as runner_module

from ..utils.atomic_write import atomic_write
from ..utils.checkpoint_file import find_damage, find_latest
from ..utils.input_error import InputError, printable
from ..utils.safe_files import how_to_trust, is_trusted

upstream_save = checkpoint_module.save_checkpoint
upstream_load_url = checkpoint_module.load_url
upstream_load_checkpoint = CheckpointLoader.load_checkpoint.__func__
upstream_load_state_dict = MessageHub.load_state_dict
upstream_load_recognizer = inference.load_checkpoint
upstream_init_model = BaseInferencer._init_model

PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.Size,
         torch.dtype, torch.device)


def to_plain(value: Any, field: str = 'checkpoint') -> Any:
    """Convert a checkpoint to tensors and plain containers.

    A ``HistoryBuffer`` is converted to a dict of its constructor arguments, a
    NumPy array to a list, any other NumPy value to a Python value, and a path
    to a string. Functions in dicts are left out. All other objects are kept,
    with a warning that calls the value ``field``.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    # not isinstance, because loading would reject subclasses such as enums
    if type(value) in PLAIN or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, HistoryBuffer):
        log_history, count_history = value.data
        return dict(log_history=torch.as_tensor(log_history),
                    count_history=torch.as_tensor(count_history),
                    max_length=value.max_length)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dict):
        plain = OrderedDict() if type(value) is OrderedDict else {}
        for key, item in value.items():
            if not isinstance(item, FunctionType):  # as of OneCycleLR
                plain[to_plain(key, field)] = to_plain(item, f'{field}.{key}')
        if type(value) is OrderedDict:  # such as _metadata of a state_dict
            vars(plain).update(to_plain(vars(value), field))
        return plain
    for old, new in (list, list), (tuple, tuple), ((set, frozenset), set):
        if isinstance(value, old):
            return new(to_plain(item, field) for item in value)
    print_log(
        f'{field} is a {type(value).__name__}, which cannot be converted to '
        'tensors or plain containers. The saved file can be loaded only if '
        'STDCL_TRUSTED_FILES lists it.',
        logger='current', level=logging.WARNING)
    return value


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Load a checkpoint that contains only tensors and plain containers.

    Raises:
        FileNotFoundError: ``filename`` does not exist.
        pickle.UnpicklingError: ``filename`` contains other objects and is not
            listed in ``STDCL_TRUSTED_FILES``.
        InputError: ``filename`` is damaged or not a checkpoint.
    """
    require_checkpoint(filename)
    with open(osp.expanduser(filename), 'rb') as file:
        damage = find_damage(file)
        if damage is None:
            try:
                return torch.load(file, map_location,
                                  weights_only=not is_trusted(file))
            except pickle.UnpicklingError as error:
                _raise_refused(filename, error, filename)
                damage = 'it contains more than tensors and plain containers'
            except Exception as error:  # the type depends on the damage
                damage = f'{type(error).__name__}: {error}'.partition('\n')[0]
    raise InputError(f'Checkpoint {filename} could not be read: it is '
                     f'damaged or not a checkpoint ({damage}).')


def require_checkpoint(filename: str) -> None:
    """Raise a ``FileNotFoundError`` if a local checkpoint does not exist."""
    loader = CheckpointLoader._get_checkpoint_loader(filename)
    if loader is load_from_local and not osp.isfile(osp.expanduser(filename)):
        raise FileNotFoundError(
            f'Checkpoint {filename} does not exist or is a folder.')


def _raise_refused(source: str, error: pickle.UnpicklingError,
                   file: str) -> None:
    found = re.search(r'GLOBAL (\S+)', str(error))  # the refused name
    if found:
        raise pickle.UnpicklingError(printable(
            f'Checkpoint {source} was not loaded: it contains {found[1]}, but '
            'only tensors and plain containers are safe to load. '
            + how_to_trust(file))) from None


@functools.wraps(upstream_load_url)
def load_url(url, *args, **kwargs):
    try:
        return upstream_load_url(url, *args, **dict(kwargs, weights_only=True))
    except pickle.UnpicklingError as error:
        _raise_refused(url, error, 'FILE (after downloading it)')
        raise


@functools.wraps(upstream_load_checkpoint)
def load_checkpoint(cls, filename, map_location=None, logger='current'):
    try:
        checkpoint = upstream_load_checkpoint(cls, filename, map_location,
                                              logger)
    except (ImportError, KeyError, URLError) as error:  # of a remote file
        raise InputError(f'Checkpoint {filename} could not be read '
                         f'({type(error).__name__}: {error}).') from error
    if not isinstance(checkpoint, dict):
        raise InputError(f'Checkpoint {filename} contains a '
                         f'{type(checkpoint).__name__}, expected a dict.')
    for name in ('state_dict', 'meta'):
        entry = checkpoint.get(name, {})
        if not isinstance(entry, dict) and (name, entry) != ('meta', None):
            raise InputError(
                f'Checkpoint {filename}: {name} is of type '
                f'{type(entry).__name__}, expected a dict.')
    # files from MMCV 1.x contain a config, which Runner.resume executes
    (checkpoint.get('meta') or {}).pop('config', None)
    return checkpoint


@functools.wraps(upstream_save)
def save_checkpoint(checkpoint, filename, file_client_args=None,
                    backend_args=None):
    checkpoint = to_plain(checkpoint)
    if '://' in filename or file_client_args or backend_args:
        upstream_save(checkpoint, filename, file_client_args, backend_args)
    else:
        save_to_local(checkpoint, filename)


def save_to_local(checkpoint: dict, filename: str) -> None:
    """Save a checkpoint, and give it its final name once it is complete."""
    content = io.BytesIO()  # torch.save hides the cause of a write error
    torch.save(checkpoint, content)
    try:
        with atomic_write(Path(filename)) as partial:
            # after a failure, getbuffer() would crash Python 3.12.1 at exit
            # (https://github.com/python/cpython/issues/111049)
            partial.write_bytes(content.getvalue())
    except OSError as error:
        raise OSError(
            error.errno, f'Checkpoint {filename} was not saved: '
            f'{error.strerror}. Earlier checkpoints are intact: remove the '
            'cause (such as a full disk), then use --resume.') from None


def find_latest_checkpoint(path: str) -> str | None:
    """Return the path of the checkpoint to resume from, or None.

    Process 0 chooses it. An ``InputError`` is raised if all are damaged.
    """
    latest = find_latest(path)
    if latest.path is None and latest.damaged:
        raise InputError(
            f'{path}: {"; ".join(latest.damaged)}; expected an intact '
            'checkpoint to resume from. To start over, rename the folder.')
    for clause in latest.damaged:
        print_log(f'{clause}; resuming from {latest.path} instead.',
                  logger='current', level=logging.WARNING)
    chosen = [latest.path]
    broadcast_object_list(chosen)  # nodes may have separate disks
    return chosen[0]


@functools.wraps(upstream_load_state_dict)
def load_state_dict(self, state_dict):
    if isinstance(state_dict, dict):
        state_dict = dict(state_dict, log_scalars={
            name: HistoryBuffer(
                value['log_history'].tolist(), value['count_history'].tolist(),
                value['max_length']) if isinstance(value, dict) else value
            for name, value in state_dict['log_scalars'].items()})
    upstream_load_state_dict(self, state_dict)


@functools.wraps(upstream_init_model)
def init_model(self, cfg, weights, device='cpu'):
    if not cfg:
        raise InputError(
            f'{type(self).__name__}: model is None, expected a config file. '
            f'Without one, the config in {weights} would be executed.')
    return upstream_init_model(self, cfg, weights, device)


def load_recognizer(model, filename, map_location=None):
    # these modules can only be imported after all patches are applied
    from mmaction.models import RecognizerGCN

    from ..engine.hooks.checkpoint_fit_hook import load_to_test
    if not isinstance(model, RecognizerGCN):
        return upstream_load_recognizer(model, filename, map_location)
    checkpoint = CheckpointLoader.load_checkpoint(filename, map_location)
    load_to_test(model, checkpoint, f'Checkpoint {filename}')
    return checkpoint


def apply() -> None:
    """Patch the functions with which MMEngine and MMAction2 save and load."""
    inference.load_checkpoint = load_recognizer
    for module in (checkpoint_module, runner_module, mmengine.runner):
        module.save_checkpoint = save_checkpoint
        module.find_latest_checkpoint = find_latest_checkpoint
    MessageHub.load_state_dict = load_state_dict
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    checkpoint_module.load_url = load_url
    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    BaseInferencer._init_model = init_model
