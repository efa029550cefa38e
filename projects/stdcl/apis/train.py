"""Train a model from a config."""
import logging
import os
import os.path as osp
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from mmaction.registry import RUNNERS
from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from ..catalogue import STREAM_OPTION, STREAMS
from ..compat.checkpoint import find_latest_checkpoint, require_checkpoint
from ..datasets.dataset_access import data_configs
from ..engine.hooks import CheckpointFitHook
from ..utils import config_check
from ..utils.checkpoint_file import LAST
from ..utils.folder_lock import lock_folder
from ..utils.input_error import InputError, require_known
from ..utils.model_parts import kind_of, unwrap

REQUIRED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
SETTINGS = ('runner', '_log_env'), ('runner', '__init__')  # where logged

Options = dict | Sequence[str] | None


def train(config: str | Path, work_dir: str | None = None, *,
          resume: str | None = None, amp: bool = False, validate: bool = True,
          auto_scale_lr: bool = False, stream: str | None = None,
          split: str | None = None, seed: int | None = None,
          diff_rank_seed: bool = False, deterministic: bool = False,
          cfg_options: Options = None, launcher: str = 'none') -> Runner:
    """Train a model from a config.

    Args:
        config (str | Path): The config file.
        work_dir (str, optional): Folder for logs and checkpoints. Defaults to
            that of the config or ``work_dirs/<config>_<stream>_<split>``.
        resume (str, optional): Checkpoint to resume from, or ``'auto'`` for
            the latest one in the work directory or, if there is none, in
            ``out_dir`` of the checkpoint hook; without one, training starts
            from ``load_from`` of the config or from scratch. Defaults to
            ``resume`` and ``load_from`` of the config.
        amp, auto_scale_lr, stream, split, seed, diff_rank_seed, launcher: The
            options of ``tools/train.py`` with these names.
        validate (bool): Whether to validate. Defaults to True.
        deterministic (bool): Whether this process uses only deterministic
            algorithms from now on. Defaults to False.
        cfg_options (dict | sequence[str], optional): Config entries to
            override: dotted name -> value, or KEY=VALUE strings.

    Returns:
        Runner: The runner after training. Its ``model`` is the trained model.

    Raises:
        InputError: ``config``, another argument or a data set is invalid.
        FileNotFoundError: An annotation file or the checkpoint is missing.
        pickle.UnpicklingError: An annotation file is damaged, or it or the
            checkpoint could run code.
        FloatingPointError: A loss or a weight is not finite.
    """
    cfg = load_run_config(config, work_dir, stream, split, cfg_options,
                          launcher)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if amp and cfg.get('optim_wrapper'):
        kind = kind_of({'type': 'OptimWrapper', **cfg.optim_wrapper})
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise InputError(f'optim_wrapper.type is {kind!r}, but --amp '
                             "requires 'OptimWrapper' or 'AmpOptimWrapper'.")
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if resume not in (None, 'auto'):
        cfg.update(resume=True, load_from=str(resume))
    if auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise InputError('auto_scale_lr is missing from the config. For '
                             '--auto-scale-lr, set dict(base_batch_size=...).')
        cfg.auto_scale_lr.enable = True
    chosen = dict(seed=seed, diff_rank_seed=diff_rank_seed or None,
                  deterministic=deterministic or None)
    cfg.randomness = {
        'seed': None, **(cfg.get('randomness') or {}),
        **{key: value for key, value in chosen.items() if value is not None}}
    with config_check.checked(cfg, REQUIRED), lock_work_dir(cfg):
        latest = None
        if resume == 'auto':
            latest = find_latest_checkpoint(cfg.work_dir) or (
                find_latest_checkpoint(str(checkpoint_folder(cfg))))
            last = Path(cfg.work_dir, LAST)
            named = [not latest and last.is_file() and last.read_text(
                errors='replace').strip()]
            dist.broadcast_object_list(named)  # as find_latest_checkpoint
            if named[0]:
                raise InputError(f'{last} names {named[0]}, which is missing. '
                                 f'Restore it. To start over, delete {last}.')
            # load_from only starts a run that has no checkpoint of its own
            if latest or not cfg.get('load_from'):
                cfg.update(resume=bool(latest), load_from=None)
        runner = build_runner(cfg)
        if resume == 'auto' and not latest:
            runner.logger.info(f'{cfg.work_dir}: no checkpoint to resume from,'
                               f' starting from {cfg.load_from or "scratch"}.')
        warn_of_earlier_run(runner)
        if latest:  # search only once
            runner._load_from = latest
        runner.train()
    return runner


def warn_of_earlier_run(runner: Runner) -> None:
    """Warn if the checkpoints of a different run are in the folder."""
    folder = checkpoint_folder(runner.cfg).resolve()
    source = Path(runner._load_from or folder / 'latest').resolve().parent
    earlier = sorted(path.name for path in folder.glob('*.pth'))
    if earlier and not (runner._resume and source == folder):
        runner.logger.warning(
            f'{folder} contains checkpoints of an earlier run, which this run '
            f'only replaces if they have the same names: {", ".join(earlier)}.'
            ' Use --resume or a different folder (train.py: --work-dir).')


def checkpoint_folder(cfg: Config) -> Path:
    """Return the folder on this machine that a run saves checkpoints to."""
    out = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get(
        'out_dir')
    work_dir = osp.abspath(cfg.work_dir)  # as the Runner does
    return Path(work_dir) if not out or '://' in out or out == work_dir \
        else Path(out, osp.basename(work_dir))


def load_run_config(config: str | Path, work_dir: str | None,
                    stream: str | None, split: str | None,
                    cfg_options: Options, launcher: str) -> Config:
    """Load a config, and apply these arguments of :func:`train` to it."""
    options = (dict(cfg_options) if isinstance(cfg_options, dict)
               else config_check.parse_options(cfg_options))
    if stream is not None:
        require_known('stream', stream, STREAMS)
        options[STREAM_OPTION] = stream
    cfg = config_check.load_config(str(config), options)
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    if stream and 'stream' not in config_check.parameters_of(
            '', preprocessor):
        raise InputError(
            f'--stream is {stream}, but model.data_preprocessor.type is '
            f'{preprocessor.get("type")}, expected SkeletonDataPreprocessor.')
    cfg.launcher = launcher
    default = cfg.get('work_dir') or f'work_dirs/{Path(config).stem}'
    default = add_stream(str(default), options.get(STREAM_OPTION))
    if split is not None:
        set_split(cfg, split)
        default = f'{default.removesuffix("_" + split)}_{split}'
    cfg.work_dir = osp.expanduser(str(work_dir or default))
    return cfg


def set_split(cfg: Config, split: str) -> None:
    """Make the dataloaders use a different split of their data sets.

    If ``split`` is 'split2', for example, 'split1_train' becomes
    'split2_train'. An ``InputError`` is raised if no data set has a split.
    """
    parts = [part for part in data_configs(cfg)
             if '_' in str(part.get('split', ''))]
    if not parts:
        raise InputError(f'--split is {split}, but no data set in the config '
                         'sets a split such as "xsub_train".')
    for part in parts:
        part['split'] = f'{split}_{part["split"].rpartition("_")[2]}'


def add_stream(work_dir: str, stream: str | None) -> str:
    """Include the name of a stream in the name of a work directory.

    >>> add_stream('work_dirs/stgcn_1xb16-joint-u52', 'bone')
    'work_dirs/stgcn_1xb16-bone-u52'
    """
    if stream is None:
        return work_dir
    path = Path(work_dir)
    # longest name first; otherwise, joint would match before joint-motion
    known = '|'.join(sorted(STREAMS, key=len, reverse=True))
    name, found = re.subn(f'(?<=-)({known})(?=-)|(?<=_)({known})$', stream,
                          path.name, count=1)
    if not found and stream != 'joint':
        name = f'{name}_{stream}'
    return str(path.with_name(name))


@contextmanager
def lock_work_dir(cfg: Config) -> Iterator[None]:
    """Reserve the folders of a run, or raise an error in all processes.

    Only the main process (rank 0) takes the lock, before a Runner writes logs.
    """
    if cfg.launcher != 'none' and not dist.is_distributed():
        # initialize the processes as the Runner does
        env = cfg.get('env_cfg') or {}
        set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
        dist.init_dist(cfg.launcher, **env.get('dist_cfg', {}))
    with ExitStack() as stack:
        errors = [None]
        if dist.is_main_process():
            try:
                for folder in Path(cfg.work_dir), checkpoint_folder(cfg):
                    stack.enter_context(lock_folder(folder))
            except (InputError, OSError) as error:
                errors = [error]
        dist.broadcast_object_list(errors)
        if errors[0] is not None:
            raise errors[0]
        yield


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, or the class that ``runner_type`` names.

    A missing checkpoint raises an error now, before the data are loaded.
    The Runner writes its config only when training starts, so a test, or a run
    that fails a check, does not overwrite the config in the work directory.
    """
    if (cfg.get('randomness') or {}).get('deterministic'):  # PyTorch < 2.10
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    if cfg.get('load_from') is not None:
        cfg.load_from = osp.expanduser(str(cfg.load_from))
        require_checkpoint(cfg.load_from)
    kind = cfg.get('runner_type', 'Runner')
    base = RUNNERS.get(kind) if isinstance(kind, str) else kind
    if base is None:
        raise InputError(f'runner_type is {kind!r}, expected the name of a '
                         'class in the registry RUNNERS.')

    class LateConfigRunner(base):

        def setup_env(self, *args, **kwargs) -> None:
            super().setup_env(*args, **kwargs)
            # tests that start in the same second need different folders
            names = [self._timestamp]
            if dist.is_main_process():
                for number in count(2):
                    try:
                        os.makedirs(osp.join(self.work_dir, names[0]))
                        break
                    except FileExistsError:
                        names[0] = f'{self._timestamp}_{number}'
                    except OSError:  # the Runner raises it in all processes
                        break
            dist.broadcast_object_list(names)
            self._timestamp = names[0]

        def build_logger(self, *args, **kwargs):
            logger = super().build_logger(*args, **kwargs)
            for console in logger.handlers[:1]:  # without pages of settings
                console.addFilter(lambda one: one.levelno > logging.INFO or (
                    one.module, one.funcName) not in SETTINGS)
            return logger

        def resume(self, *args, **kwargs) -> None:
            # Adam reads its step counts, which would wait for a GPU
            super().resume(*args, **{'map_location': 'cpu', **kwargs})

        def dump_config(self) -> None:
            write, hook = super().dump_config, Hook()
            hook.before_train = lambda runner: write()
            self.register_hook(hook, 'VERY_LOW')  # after all checks

    runner = LateConfigRunner.from_cfg(cfg)
    if hasattr(unwrap(runner.model), 'cls_head') and not any(
            isinstance(one, CheckpointFitHook) for one in runner.hooks):
        runner.register_hook(CheckpointFitHook())  # for MMAction2's configs
    return runner
