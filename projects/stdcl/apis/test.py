"""Test a checkpoint with a config."""
from pathlib import Path

from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from ..datasets.dataset_access import data_configs
from ..engine.hooks import ScoreFileHook
from ..utils.config_check import checked
from ..utils.input_error import InputError
from .train import Options, build_runner, load_run_config

REQUIRED = ('model', 'test_dataloader', 'test_cfg', 'test_evaluator')


def test(config: str | Path, checkpoint: str, work_dir: str | None = None, *,
         dump: str | None = None, stream: str | None = None,
         split: str | None = None, cfg_options: Options = None,
         launcher: str = 'none') -> dict[str, float]:
    """Test a checkpoint with a config.

    The accuracy of each class is logged. It and the confusion matrix are also
    written to ``<dump>_*`` without the suffix of ``dump`` or, by default, to
    ``<checkpoint>_*`` in the folder of the log, a new one for each test; see
    :func:`~projects.stdcl.evaluation.confusion.write_files`.

    Args:
        config, work_dir, split, cfg_options, launcher: As in :func:`.train`.
        checkpoint (str): Path or URL of the checkpoint.
        dump (str, optional): File for the scores of all sequences: ``*.npz``,
            or ``*.pkl`` as written by ``DumpResults``. Defaults to no file.
        stream (str, optional): Stream that the checkpoint was trained on.
            Defaults to that of the config.

    Return the metrics of the config's ``test_evaluator``. An ``InputError`` is
    raised if ``config``, ``checkpoint``, an option or the test set is invalid.
    Files that cannot be read raise the other errors of :func:`.train`.
    """
    from ..evaluation.confusion import ClassReport  # matplotlib loads slowly
    cfg = load_run_config(config, work_dir, stream, split, cfg_options,
                          launcher)
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    with checked(cfg, REQUIRED):
        runner = build_runner(cfg)
        if dump:
            _add_dump(runner, str(dump))
        report = ClassReport(Path(dump).with_suffix('') if dump else Path(
            runner.log_dir, Path(checkpoint).stem))
        report.dataset_meta = runner.test_evaluator.dataset_meta
        runner.test_evaluator.metrics.append(report)
        return runner.test()


test.__test__ = False  # pytest would collect it because of its name


def _add_dump(runner: Runner, path: str) -> None:
    inputs = [runner._load_from, *(
        Path(part.get('data_root') or '', part.get('ann_file') or '')
        for part in data_configs(runner.cfg))]
    if Path(path).resolve() in [Path(one).resolve() for one in inputs]:
        raise InputError(f'--dump is {path}, which is an annotation file or '
                         'the checkpoint, expected a different file.')
    if path.endswith('.npz'):
        runner.register_hook(ScoreFileHook(path))
    elif path.endswith(('.pkl', '.pickle')):
        runner.test_evaluator.metrics.append(DumpResults(path))
    else:
        raise InputError(f'--dump is {path}, expected a file name that ends '
                         'in .npz, .pkl or .pickle.')
    Path(path).parent.mkdir(parents=True, exist_ok=True)  # before the test
