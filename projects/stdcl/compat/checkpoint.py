"""Checkpoints: MMEngine's do not load on PyTorch >= 2.6, and can run code.

- ``torch.load`` defaults to ``weights_only=True`` since PyTorch 2.6, but
  MMEngine stores Python objects (the log history, numpy scalars) in
  ``message_hub``, so testing and resuming fail
  (https://github.com/open-mmlab/mmengine/issues/1655). Here checkpoints are
  saved as tensors and plain containers.
- MMEngine loads files from the web with ``weights_only=False`` and executes
  the config inside a checkpoint. Here it does neither.
- MMEngine writes a checkpoint under its final name, so a crash leaves half of
  one, and resumes from whatever was written last. Here a file gets its name
  once it is complete, and resuming skips damaged files.
"""
import copy
import functools
import io
import logging
import os.path as osp
import pickle
from collections import OrderedDict
from pathlib import Path, PurePath
from typing import Any, Optional

import mmengine.runner
import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer, MessageHub, print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as checkpoint_module
from mmengine.runner import runner as runner_module

from ..utils.atomic_write import atomic_write
from ..utils.checkpoint_file import find_damage, find_latest
from ..utils.input_error import InputError
from ..utils.safe_files import find_refused, how_to_trust, is_trusted

upstream_save = checkpoint_module.save_checkpoint
upstream_load_url = checkpoint_module.load_url
upstream_load_checkpoint = CheckpointLoader.load_checkpoint.__func__
upstream_load_state_dict = MessageHub.load_state_dict
upstream_init_model = BaseInferencer._init_model

PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.Size,
         torch.dtype, torch.device)
NUMERIC = '?bBhHiIlLqQefdFD'  # numpy's type codes that torch has as well


def to_plain(value: Any, field: str = 'checkpoint') -> Any:
    """Rewrite a checkpoint with tensors and plain containers only.

    A ``HistoryBuffer`` becomes a dict of its constructor's arguments, numpy
    arrays become tensors and numpy scalars numbers. An object with no plain
    form is kept, with a warning that names ``field``.
    """
    if isinstance(value, np.ndarray) and value.dtype.char in NUMERIC:
        # a copy: torch takes neither reversed nor foreign-endian arrays
        return torch.from_numpy(
            np.array(value, value.dtype.newbyteorder('='), order='C'))
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    # exact types: subclasses, such as enums, would be refused when loaded
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
        # a state_dict is an OrderedDict with a _metadata attribute
        plain = copy.copy(value) if type(value) is OrderedDict else {}
        plain.clear()
        for key, item in value.items():
            plain[to_plain(key, field)] = to_plain(item, f'{field}.{key}')
        return plain
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, field) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (set, frozenset)):
        return {to_plain(item, field) for item in value}
    print_log(
        f'{field} is a {type(value).__name__}, which has no plain form: the '
        'saved file will load only where it is trusted.',
        logger='current', level=logging.WARNING)
    return value


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Load a checkpoint that holds tensors and plain containers only.

    Raises:
        FileNotFoundError: The file does not exist.
        pickle.UnpicklingError: It holds anything else and is not named in
            ``STDCL_TRUSTED_FILES``.
        InputError: It is damaged, or not a checkpoint.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'Checkpoint {filename} does not exist.')
    damage = find_damage(filename)
    if damage is None:
        try:
            return torch.load(filename, map_location,
                              weights_only=not is_trusted(filename))
        except pickle.UnpicklingError as error:
            _raise_refused(filename, error, filename)
            damage = 'it holds more than tensors and plain containers'
        except Exception as error:  # which one depends on the damage
            damage = f'{type(error).__name__}: {error}'.partition('\n')[0]
    raise InputError(f'Checkpoint {filename} could not be read: it is '
                     f'damaged, or of another kind ({damage}).')


def _raise_refused(source: str, error: pickle.UnpicklingError,
                   file: str) -> None:
    name = find_refused(error)
    if name:
        raise pickle.UnpicklingError(
            f'Checkpoint {source} was not loaded: it holds {name}, and '
            'anything but tensors and plain containers can run code. '
            + how_to_trust(file)) from None


@functools.wraps(upstream_load_url)
def load_url(url, *args, **kwargs):
    try:
        return upstream_load_url(url, *args,
                                 **dict(kwargs, weights_only=True))
    except pickle.UnpicklingError as error:
        _raise_refused(url, error, 'FILE (after downloading it)')
        raise


@functools.wraps(upstream_load_checkpoint)
def load_checkpoint(cls, filename, map_location=None, logger='current'):
    checkpoint = upstream_load_checkpoint(cls, filename, map_location, logger)
    if not isinstance(checkpoint, dict):
        raise InputError(f'Checkpoint {filename} holds a '
                         f'{type(checkpoint).__name__}, expected a dict.')
    meta = checkpoint.get('meta')
    if isinstance(meta, dict):
        # files of MMCV 1.x have it, and Runner.resume executes it as Python
        meta.pop('config', None)
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
    """Save a checkpoint under its name only when it is complete."""
    content = io.BytesIO()  # PyTorch hides errors of writing to a file
    torch.save(checkpoint, content)
    try:
        with atomic_write(Path(filename)) as partial:
            partial.write_bytes(content.getbuffer())
    except OSError as error:
        raise OSError(
            error.errno, f'Checkpoint {filename} was not saved: '
            f'{error.strerror}. Earlier checkpoints are intact: free some '
            'space, then resume with --resume.') from None


def find_latest_checkpoint(path: str) -> Optional[str]:
    """Find the checkpoint of a work directory to resume from, if any.

    Damaged files are skipped; an ``InputError`` if all are damaged. All
    processes get the path that the first one finds.
    """
    latest = find_latest(path)
    for sentence in latest.damaged:
        print_log(f'{sentence}; going back to {latest.path}.',
                  logger='current', level=logging.WARNING)
    if latest.path is None and latest.damaged:
        raise InputError(
            f'{path}: {"; ".join(latest.damaged)}; expected an intact '
            'checkpoint to resume from. To start over, leave out --resume.')
    chosen = [latest.path]
    broadcast_object_list(chosen)  # other nodes may have other disks
    return chosen[0]


@functools.wraps(upstream_load_state_dict)
def load_state_dict(self, state_dict):
    if isinstance(state_dict, dict):
        scalars = {
            name: _history_buffer(**value) if isinstance(value, dict)
            else value for name, value in state_dict['log_scalars'].items()}
        state_dict = dict(state_dict, log_scalars=scalars)
    upstream_load_state_dict(self, state_dict)


def _history_buffer(log_history, count_history, max_length) -> HistoryBuffer:
    return HistoryBuffer(log_history.tolist(), count_history.tolist(),
                         max_length)


@functools.wraps(upstream_init_model)
def init_model(self, cfg, weights, device='cpu'):
    if not cfg:
        raise InputError(
            f'{type(self).__name__}: model is None, which would execute the '
            f'config stored in {weights}; expected a config file as `model`.')
    return upstream_init_model(self, cfg, weights, device)


def apply() -> None:
    """Install the above where MMEngine saves and loads."""
    for module in (checkpoint_module, runner_module, mmengine.runner):
        module.save_checkpoint = save_checkpoint
        module.find_latest_checkpoint = find_latest_checkpoint
    MessageHub.load_state_dict = load_state_dict
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    checkpoint_module.load_url = load_url
    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    BaseInferencer._init_model = init_model
