"""Checkpoints: MMEngine's do not load on PyTorch >= 2.6, and run code.

PyTorch loads with ``weights_only=True`` since 2.6, but MMEngine stores Python
objects (the log history, numpy scalars) in ``message_hub``, so testing and
resuming fail (https://github.com/open-mmlab/mmengine/issues/1655). Also,
MMEngine loads files from the web without that protection, and executes the
config that a checkpoint carries.

Here checkpoints are saved as tensors and plain containers, loaded with the
protection on, from wherever they come, and a config in a checkpoint is never
executed.

MMEngine also writes a checkpoint under its final name at once, so a crash
leaves half of one, and resumes from whatever was written last. Here a file
gets its name when all of it is on the disk, a damaged one is not loaded, and
resuming passes over it.
"""
import copy
import functools
import logging
import os.path as osp
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePath
from typing import Any, Optional

import mmengine.runner
import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer, MessageHub, print_log
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as checkpoint_module
from mmengine.runner import runner as runner_module

from ..utils import torch_file
from ..utils.atomic_write import atomic_write
from ..utils.checkpoint_file import find_damage, find_latest
from ..utils.input_error import InputError
from ..utils.trusted_files import how_to_trust, is_trusted

PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.Size,
         torch.dtype, torch.device)
# parts that a checkpoint may have, and their types
FORM = {'state_dict': (dict, ), 'meta': (dict, ), 'meta.epoch': (int, ),
        'meta.iter': (int, ), 'meta.seed': (int, type(None)),
        'message_hub': (dict, ), 'optimizer': (dict, ),
        'param_schedulers': (dict, list)}
NUMERIC = '?bBhHiIlLqQefdFD'  # numpy's type codes that torch has as well


def to_plain(value: Any, field: str = 'checkpoint') -> Any:
    """Rewrite a checkpoint with tensors and plain containers only.

    Args:
        value (Any): A checkpoint, or a part of one.
        field (str): Its name, for the warning.

    Returns:
        Any: The same content. A ``HistoryBuffer`` becomes a dict of its
        constructor's arguments, numpy arrays become tensors and numpy scalars
        numbers. An object with no plain form is kept, with a warning.
    """
    if isinstance(value, np.ndarray) and value.dtype.char in NUMERIC:
        # a copy: torch takes neither reversed nor foreign-endian arrays
        return torch.from_numpy(
            np.array(value, value.dtype.newbyteorder('='), order='C'))
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    # not their subclasses, such as enums, which are refused when loaded
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
        'saved file will only load for those who trust it.',
        logger='current', level=logging.WARNING)
    return value


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Load a checkpoint that holds tensors and plain containers only.

    Args:
        filename (str): Path of the file.
        map_location: As in ``torch.load``.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        pickle.UnpicklingError: It holds anything else and is not named in
            ``STDCL_TRUSTED_FILES``.
        InputError: It cannot be read.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'Checkpoint {filename} does not exist.')
    trusted = is_trusted(filename)
    try:
        if not trusted:
            with open(filename, 'rb') as file:
                torch_file.check(file, filename)
        damage = find_damage(filename)
        if damage is not None and zipfile.is_zipfile(filename):
            raise ValueError(damage)
        return torch.load(filename, map_location, weights_only=not trusted)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(
            f'Checkpoint {filename} was not loaded: besides tensors and plain '
            f'containers it holds {_unsafe_globals(filename, error)}, and '
            'loading those can run code. ' + how_to_trust(filename)) from None
    except Exception as error:
        raise InputError(
            f'Checkpoint {filename} could not be read; it is damaged, or of '
            f'another kind ({type(error).__name__}: {error}).') from error


def _unsafe_globals(filename: str, error: Exception) -> str:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(filename)
    except Exception:  # an old or damaged file: all we know is the error
        names = []
    return ', '.join(sorted(names)) or str(error)


def _wrap_load_url(load_url):

    @functools.wraps(load_url)
    def load_plain(url, *args, **kwargs):
        try:
            return load_url(url, *args, **dict(kwargs, weights_only=True))
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError(
                f'Checkpoint {url} was not loaded: it holds more than tensors '
                f'and plain containers ({error}). Download it and load the '
                'file. ' + how_to_trust('FILE')) from None

    return load_plain


def _load_without_config(cls, filename, map_location=None, logger='current'):
    """``CheckpointLoader.load_checkpoint`` less the config to be executed.

    ``Runner.resume`` runs ``meta['config']``, which only files of MMCV 1.x
    have, through ``Config.fromstring``, which executes it as Python.
    """
    checkpoint = _upstream_load(cls, filename, map_location, logger)
    _check_form(checkpoint, filename)
    if isinstance(checkpoint, dict):
        checkpoint.get('meta', {}).pop('config', None)
    return checkpoint


def _check_form(checkpoint: Any, filename: str) -> None:
    """Refuse parts of another type than MMEngine takes them for."""
    for place, kinds in FORM.items():
        part = checkpoint
        for field in place.split('.'):
            if not isinstance(part, dict) or field not in part:
                break
            part = part[field]
        else:
            if not isinstance(part, kinds):
                raise ValueError(
                    f'Checkpoint {filename}: {place} is a '
                    f'{type(part).__name__}, expected '
                    + ' or '.join(kind.__name__ for kind in kinds) + '.')


_upstream_load = CheckpointLoader.load_checkpoint.__func__


def _wrap_use(use):
    """Name the checkpoint where what is in it is of no use.

    MMEngine stumbles over parts that are missing or of another form, with
    whatever error Python has for it.
    """

    @functools.wraps(use)
    def use_or_name(self, filename, *args, **kwargs):
        try:
            return use(self, filename, *args, **kwargs)
        except InputError as error:  # a check of ours
            if str(filename) in str(error):
                raise
            raise InputError(f'Checkpoint {filename}: {error}') from error
        except (AssertionError, AttributeError, LookupError, TypeError,
                ValueError) as error:
            if str(filename) in str(error):
                raise
            raise ValueError(
                f'Checkpoint {filename}: what is in it is of another form '
                f'than expected ({type(error).__name__}: {error}).'
                ) from error

    return use_or_name


def _wrap_save(save):

    @functools.wraps(save)
    def save_plain(checkpoint, filename, file_client_args=None,
                   backend_args=None):
        checkpoint = to_plain(checkpoint)
        if '://' in filename or file_client_args or backend_args:
            return save(checkpoint, filename, file_client_args, backend_args)
        save_to_local(checkpoint, filename)

    return save_plain


def save_to_local(checkpoint: dict, filename: str) -> None:
    """Save a checkpoint that is complete, or not there.

    Args:
        checkpoint (dict): Tensors and plain containers.
        filename (str): Path of the file; folders are made.

    Raises:
        OSError: It cannot be written, such as on a full disk.
    """
    try:
        with atomic_write(Path(filename)) as partial, \
                open(partial, "wb") as file:
            torch.save(checkpoint, file)
    except (OSError, RuntimeError) as error:
        # closing its archive, PyTorch covers up what went wrong
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(
            cause.errno, f'Checkpoint {filename} was not saved: '
            f'{cause.strerror} ({_free(filename)} free). Checkpoints saved '
            'before are whole: make room and go on with --resume.'
        ) from None


def _free(filename: str) -> str:
    folder = osp.dirname(osp.abspath(filename))
    try:
        return f'{shutil.disk_usage(folder).free / 2**20:.0f} MiB'
    except OSError:
        return 'unknown space'


def find_latest_checkpoint(path: str) -> Optional[str]:
    """MMEngine's function of that name, passing over damaged files.

    Args:
        path (str): A work directory.

    Returns:
        str | None: Path of the checkpoint to resume from, if there is one;
        that of the first process for all.

    Raises:
        InputError: There are checkpoints, and all of them are damaged.
    """
    latest = find_latest(path)
    for sentence in latest.damaged:
        print_log(f'{sentence}; going back to {latest.path}.',
                  logger='current', level=logging.WARNING)
    if latest.path is None and latest.damaged:
        raise InputError(
            f'{path}: {"; ".join(latest.damaged)}; expected a whole one to '
            'resume from. To begin anew, leave --resume out.')
    chosen = [latest.path]
    broadcast_object_list(chosen)  # other nodes may have other disks
    return chosen[0]


def _wrap_load_state_dict(load_state_dict):

    @functools.wraps(load_state_dict)
    def load_plain(self, state_dict):
        if isinstance(state_dict, dict):
            scalars = {
                name: _history_buffer(**value) if isinstance(value, dict)
                else value
                for name, value in state_dict['log_scalars'].items()}
            state_dict = dict(state_dict, log_scalars=scalars)
        return load_state_dict(self, state_dict)

    return load_plain


def _history_buffer(log_history, count_history, max_length) -> HistoryBuffer:
    # the lists are short-lived: HistoryBuffer makes arrays of them
    return HistoryBuffer(log_history.tolist(), count_history.tolist(),
                         max_length)


def _wrap_init_model(init_model):

    @functools.wraps(init_model)
    def init_given_config(self, cfg, weights, device='cpu'):
        if not cfg:
            raise ValueError(
                f'{type(self).__name__}: model is None, which would execute '
                f'the config stored in {weights}. Pass the config file as '
                '`model`.')
        return init_model(self, cfg, weights, device)

    return init_given_config


def apply() -> None:
    """Install the above where MMEngine saves and loads."""
    save = _wrap_save(checkpoint_module.save_checkpoint)
    for module in (checkpoint_module, runner_module, mmengine.runner):
        module.save_checkpoint = save
        module.find_latest_checkpoint = find_latest_checkpoint
    MessageHub.load_state_dict = _wrap_load_state_dict(
        MessageHub.load_state_dict)

    CheckpointLoader.register_scheme('', load_from_local, force=True)
    checkpoint_module.load_url = _wrap_load_url(checkpoint_module.load_url)
    CheckpointLoader.load_checkpoint = classmethod(_load_without_config)
    for name in ('load_checkpoint', 'resume'):
        setattr(Runner, name, _wrap_use(getattr(Runner, name)))
    BaseInferencer._init_model = _wrap_init_model(BaseInferencer._init_model)
