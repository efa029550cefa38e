"""Fixtures that several test files use."""
import contextlib
import gc
import logging
import os
import signal
import sys
from pathlib import Path

# two processes run the tests; more threads would slow both down
os.environ.setdefault('OMP_NUM_THREADS', '1')

# processes that pytest forks cannot use a GPU; only "-m gpu" needs one
if not any('gpu' in word for word in sys.argv) and (
        'PYTEST_XDIST_WORKER' not in os.environ):
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

# import submitit first, because the import closes log files that are open
with contextlib.suppress(ImportError):
    import submitit  # noqa: F401
import mmengine
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer

import projects.stdcl  # noqa: F401
from projects.stdcl.utils.safe_files import VARIABLE
from tests.warm_commands import WarmCommands, skip_formatting

ROOT = Path(__file__).parents[1]
# a shell that starts the tests in the background ignores SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)

skip_formatting()

# slow files run first, so that no process is idle at the end
LONGEST = ('test_resume.py', 'test_export_onnx.py', 'test_checkpoint_fit.py',
           'test_commands.py', 'test_configs.py')


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def same_start():
    """Set the seed and, as a Runner does, the default scope of MMEngine.

    Enable logging, which a test may have disabled. MMEngine keeps the figures
    of every Runner, and collects garbage often.
    """
    torch.manual_seed(0)
    np.random.seed(0)
    init_default_scope('mmaction')
    yield
    logging.disable(logging.NOTSET)
    for visualizer in [Visualizer, *Visualizer.__subclasses__()]:
        visualizer._instance_dict.clear()


@pytest.fixture(autouse=True, scope='module')
def freeze():
    """Let garbage collection skip what earlier modules have left."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish(session):
    """Fork the server of commands before a test changes any global state."""
    gc.freeze()  # MMEngine collects garbage often; skip modules and tests
    session.config.warm = WarmCommands()


@pytest.fixture(scope='session')
def warm(pytestconfig):
    return pytestconfig.warm


@pytest.fixture
def nothing_trusted(monkeypatch):
    """Unset the variables that allow files to run code."""
    for name in (VARIABLE, 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def loot(tmp_path):
    """Return the folder that an attack creates if it succeeds."""
    return tmp_path / 'loot'


@pytest.fixture(scope='session')
def root() -> Path:
    return ROOT


@pytest.fixture(scope='session')
def reference() -> Path:
    """Return the folder of golden files and real data, or skip the test.

    The folder is not part of the repository.
    """
    path = Path(os.environ.get('STDCL_REFERENCE', ROOT.parent / 'shared'))
    if not path.is_dir():
        pytest.skip('no reference data (folder ../shared or STDCL_REFERENCE)')
    return path


@pytest.fixture
def tiny_annotations(tmp_path):
    """Return a function that writes a tiny annotation file.

    The function ``change`` may change the content of the file.
    """

    def make(num=24, joints=20, persons=1, channels=3, classes=10,
             split='xview_train', name='tiny.pkl', score=False, change=None):
        generator = torch.Generator().manual_seed(num)
        annotations = []
        for i in range(num):
            frames = 20 + i
            annotation = dict(
                frame_dir=f'{name}_{i:03d}', label=i % classes,
                total_frames=frames,
                keypoint=torch.randn(persons, frames, joints, channels,
                                     generator=generator).numpy())
            if score:  # 2D joints in pixels
                annotation['keypoint'] = 50 + 10 * annotation['keypoint']
                annotation.update(
                    img_shape=(100, 100), keypoint_score=torch.rand(
                        persons, frames, joints, generator=generator).numpy())
            annotations.append(annotation)
        names = [annotation['frame_dir'] for annotation in annotations]
        path = tmp_path / name
        splits = {f'{benchmark}_{part}': names for part in ('train', 'val')
                  for benchmark in ('xsub', 'xview', 'xset', 'split1')}
        content = dict(split={split: names, **splits}, annotations=annotations)
        if change:
            change(content)
        mmengine.dump(content, str(path))
        return str(path)

    return make
