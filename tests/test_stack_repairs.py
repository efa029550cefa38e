"""The repairs of MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

Some tests also show the fault. test_checkpoint_safety.py tests the repairs of
checkpoints.
"""
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmaction.models import GCNHead
from mmaction.models.utils import Graph
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.dist import utils as dist_utils
from mmengine.model import (
    BaseModel,
    MMDistributedDataParallel,
    convert_sync_batchnorm,
)
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.visualization import WandbVisBackend
from torch.nn.parallel import DistributedDataParallel

from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.compat import amp_on_cpu, distributed_on_cpu
from projects.stdcl.utils.input_error import end_cleanly
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.commands import ROOT, call

TOOLS = ROOT / 'tools'
MMACTION = Path(mmaction.__file__).parent

on_cpu_only = pytest.mark.skipif(
    distributed_on_cpu.has_accelerator(),
    reason='needs a machine without an accelerator')

RUN_WITHOUT = '''
import runpy, shlex, sys
from importlib.machinery import PathFinder
hidden, find = sys.argv.pop(1).split(), PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: (
    None if name in hidden else find(name, *args))
for command in sys.argv[1:]:
    sys.argv = shlex.split(command)
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as error:
        print(error)
'''


def run_without(packages, folder, *commands):
    return call(sys.executable, '-c', RUN_WITHOUT, packages, *(
        f'{shlex.quote(str(TOOLS))}/{command}' for command in commands),
        cwd=folder).stdout.splitlines()


def test_missing_mmcv_ends_a_tool_in_one_line(tmp_path):
    line, = run_without('mmcv', tmp_path, 'analysis/report.py a b c.html')
    assert line.startswith('error: mmcv is missing: ')
    assert 'pip install mmcv-lite==2.1.0' in line
    assert 'full mmcv 2.1.0' in line


def test_missing_mmcv_raises_an_ordinary_error_elsewhere(tmp_path):
    done = call(sys.executable, '-c', 'import sys\n'
                'sys.modules["mmcv"] = None\n'
                'try:\n    import projects.stdcl\n'
                'except ModuleNotFoundError as error:\n'
                '    assert error.name == "mmcv"\n'
                '    print(hasattr(sys, "tracebacklimit"))', cwd=tmp_path)
    assert done.stdout == 'False\n', done.stderr


def test_missing_extra_ends_a_tool_in_one_line(tmp_path):
    lines = run_without(
        'pandas sklearn', tmp_path, 'analysis/report.py a b c.html',
        'analysis/extract_features.py a b c.npz', 'experiments/run_study.py a',
        'data/custom.py a b c.pkl --layout coco')
    assert lines == [
        f'error: the package {name} is missing. To install it, run pip '
        'install -e ".[analysis]"' for name in (
            'sklearn', 'sklearn', 'pandas', 'pandas')]


def test_missing_extra_is_found_behind_an_error_of_mmengine(
        tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    with (pytest.raises(SystemExit, match=r'wandb is .*\[tracking\]'),
          end_cleanly()):
        WandbVisBackend(str(tmp_path))._init_env()
    with pytest.raises(ImportError, match='other'), end_cleanly():
        raise ModuleNotFoundError('other', name='other')


FRESH = '''
import gc
import sys
import warnings
collections = []
gc.callbacks.append(lambda _, info: collections.append(info['generation']))
import projects.stdcl.apis
assert 2 not in collections and gc.isenabled() and not gc.get_freeze_count()
assert not {'scipy.stats', 'wandb', 'matplotlib'} & sys.modules.keys()
from mmaction.datasets.transforms.pose_transforms import get_mode
assert get_mode([1, 2, 2]).mode == [2]
assert 'scipy.stats._stats_py' in sys.modules
from mmaction.models.localizers import DRN
import mmcv.cnn.bricks.transformer
import mmengine.device.utils
from projects.stdcl.compat import distributed_on_cpu
mmengine.device.utils.DEVICE = 'mps'  # as on a Mac
distributed_on_cpu.apply()
assert mmengine.device.get_device() == 'cpu'
from mmengine.utils import is_installed
is_installed('mmaction2')
is_installed('mmaction2')
warnings.warn('other')
'''


def test_imports_are_quiet_and_fast(tmp_path):
    """Slow modules are imported when a function of MMAction2 needs them.

    During the imports, Python never searches all objects for garbage. Packages
    that MMAction2 finds, but that are not compatible with it, do no harm.
    """
    (tmp_path / 'transformers-5.0.dist-info').mkdir()
    (tmp_path / 'transformers-5.0.dist-info/METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.0\n')
    done = call(sys.executable, '-Walways::UserWarning', '-c', FRESH,
                cwd=tmp_path)
    assert 'other' in done.stderr, done.stderr
    for text in ('MultiScaleDeformableAttention', 'pkg_resources'):
        assert text not in done.stderr
    one, two = (Config(dict(a=value)) for value in (1, 2))
    assert one.pretty_text == one.pretty_text != two.pretty_text


@pytest.mark.parametrize('accelerator', [True, False])
def test_launcher_uses_gloo_only_without_accelerator(accelerator, monkeypatch):
    calls = []
    for name, value in dict(RANK='1', LOCAL_RANK='1', WORLD_SIZE='2').items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, 'set_device', set_device := calls.append)
    monkeypatch.setattr(dist_utils.torch_dist, 'init_process_group',
                        lambda **kwargs: calls.append(kwargs))
    monkeypatch.setattr(distributed_on_cpu, 'has_accelerator',
                        lambda: accelerator)
    init_dist('pytorch', backend='nccl', world_size=2)
    assert calls == ([1, dict(backend='nccl', world_size=2)] if accelerator
                     else [dict(backend='gloo', world_size=2)])
    assert torch.cuda.set_device is set_device
    for name in ('pytorch', 'slurm', 'mpi'):
        assert hasattr(getattr(dist_utils, f'_init_dist_{name}'),
                       '__wrapped__')


@pytest.mark.parametrize('device, expected', [('cpu', None), ('meta', [1])])
def test_device_ids_are_omitted_on_the_cpu_only(device, expected, monkeypatch):
    # the device "meta" replaces a GPU
    seen = {}
    monkeypatch.setattr(DistributedDataParallel, '__init__',
                        lambda self, **kwargs: seen.update(kwargs))
    module = torch.nn.Linear(1, 1, device=device)
    MMDistributedDataParallel(
        module, device_ids=[1], broadcast_buffers=False,
        detect_anomalous_params=True)
    assert seen.pop('module') is module
    assert seen == dict(device_ids=expected, broadcast_buffers=False)


@pytest.mark.parametrize('encoder', ENCODERS)
def test_sync_bn_converts_the_encoders(encoder):
    """In one process, converted encoders keep their weights and output."""
    config = Config.fromfile(find_config(encoder, 'synthetic', False))
    models = []
    for convert in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        if convert:  # as the Runner does, before init_weights
            model = convert_sync_batchnorm(model, 'torch')
        model.init_weights()
        models.append(model)
    plain, synced = models
    assert {type(part) for part in synced.modules() if isinstance(
        part, torch.nn.modules.batchnorm._BatchNorm)} <= {
            torch.nn.SyncBatchNorm}
    torch.testing.assert_close(synced.state_dict(), plain.state_dict(),
                               rtol=0, atol=0)
    clip = plain.data_preprocessor.make_stream(
        torch.randn(2, *config.clip_shape))
    results = []
    for model in models:
        torch.manual_seed(0)  # for dropout
        results.append(model.double().backbone(clip.double()))
    torch.testing.assert_close(*results)


class Layer(BaseModel):

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)

    def forward(self, inputs, mode='loss'):
        outputs = self.layer(inputs)
        self.seen = outputs.dtype
        return dict(loss=outputs.float().square().mean())


def amp_wrapper(model, **kwargs):
    return build_optim_wrapper(model, dict(
        type='AmpOptimWrapper',
        optimizer=dict(type='SGD', lr=0.1, momentum=0.9), **kwargs))


@on_cpu_only
@pytest.mark.parametrize('options', [
    dict(dtype='bfloat16'), dict(loss_scale=512., dtype=torch.bfloat16),
    dict(clip_grad=dict(max_norm=1.))], ids=str)
def test_amp_on_the_cpu_takes_nearly_the_same_steps(options):
    """Weights stay in float32, and the gradient is not scaled."""
    plain, amp = Layer(), Layer()
    amp.load_state_dict(plain.state_dict())
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9)
    clip = dict(clip_grad=options.get('clip_grad'))
    for model, wrapper in (
            (plain, dict(clip)), (amp, dict(options, type='AmpOptimWrapper'))):
        wrapper = build_optim_wrapper(model, dict(wrapper,
                                                  optimizer=optimizer))
        for _ in range(2):
            model.train_step(dict(inputs=torch.ones(4, 2)), wrapper)
    assert (plain.seen, amp.seen) == (torch.float32, torch.bfloat16)
    # bfloat16 has about three digits
    torch.testing.assert_close(
        amp.layer.weight, plain.layer.weight, atol=2e-3, rtol=1e-2)


@on_cpu_only
@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'float64', 'x'])
def test_amp_options_that_the_cpu_does_not_support_raise(dtype):
    with pytest.raises(ValueError, match='optim_wrapper.dtype') as caught:
        amp_wrapper(Layer(), dtype=dtype)
    assert repr(dtype) in str(caught.value)
    assert 'bfloat16' in str(caught.value)


def test_amp_is_unchanged_with_an_accelerator(monkeypatch):
    scales = []
    monkeypatch.setattr(amp_on_cpu, 'has_accelerator', lambda: True)
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'GradScaler',
        lambda **kwargs: scales.append(kwargs))
    wrapper = amp_wrapper(Layer(), loss_scale=512., dtype='float16')
    assert wrapper.cast_dtype == torch.float16
    assert scales == [dict(init_scale=512.)]


@pytest.fixture
def printing(tmp_path):
    """Let the commands ``srun`` and ``python`` print their arguments."""
    for name in ('srun', 'python'):
        (tmp_path / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / 'clone').symlink_to(ROOT)
    return f'{tmp_path}:{os.environ["PATH"]}'


def test_the_script_for_several_processes(printing, tmp_path):
    """test_commands.py runs the other script, dist_train.sh."""
    done = subprocess.run(
        ['bash', 'clone/tools/dist_test.sh', 'a.py', 'a.pth', '2', '--seed',
         '0'], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, 'PATH': printing, 'PORT': '1234',
             'CDPATH': str(tmp_path)})
    assert re.search(
        r'torch.distributed.run .*--master_port=1234 --nproc_per_node=2 '
        r'\S+/tools/test.py a.py a.pth --launcher pytorch --seed 0 $',
        done.stdout.replace('\n', ' '))


@pytest.mark.parametrize('name, arguments', [
    ('slurm_train.sh', ['a.py']), ('slurm_test.sh', ['a.py', 'a.pth'])])
def test_jobs_are_started_by_srun(name, arguments, printing, tmp_path,
                                  monkeypatch):
    for variable, value in dict(
            PATH=printing, GPUS='4', CDPATH=str(tmp_path),
            GPUS_PER_NODE='2', SRUN_ARGS='--mem 1G').items():
        monkeypatch.setenv(variable, value)
    done = call('bash', f'clone/tools/{name}', 'queue', 'job', *arguments,
                '--seed', 0, cwd=tmp_path)
    seen = done.stdout.splitlines()
    start = seen.index('python')
    for option in ('-p', 'queue', '--job-name=job', '--gres=gpu:2',
                   '--ntasks=4', '--ntasks-per-node=2', '--mem', '1G'):
        assert option in seen[:start]
    tool = name[len('slurm_'):].replace('.sh', '.py')
    assert os.path.samefile(tmp_path / seen[start + 2], TOOLS / tool)
    assert seen[start + 3:] == [*arguments, '--launcher', 'slurm',
                                '--seed', '0']


@pytest.fixture(scope='module')
def upstream_loss():
    """Load ``BaseHead.loss_by_feat`` from the file of MMAction2."""
    spec = importlib.util.spec_from_file_location(
        'upstream_head', MMACTION / 'models' / 'heads' / 'base.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BaseHead.loss_by_feat


def head(num_classes=7, **kwargs):
    return GCNHead(num_classes=num_classes, in_channels=4, **kwargs)


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize('eps', [0., 0.1])
@pytest.mark.parametrize('num, topk', [
    (1, (5, 2)), (7, (1, 7)), (16, (1, 9)),  # 7 is the number of classes
    (16, ())])
@pytest.mark.parametrize('soft', [False, True])
def test_losses_equal_upstream(num, topk, eps, soft, upstream_loss):
    part = head(label_smooth_eps=eps, topk=topk)
    torch.manual_seed(num)
    scores = torch.randn(num, 7, requires_grad=True)
    batch = samples(torch.rand(num, 7).softmax(dim=1) if soft else
                    torch.randint(7, (num, )).tolist())
    expected, seen = (upstream_loss(part, scores, batch),
                      part.loss_by_feat(scores, batch))
    assert soft or {f'top{k}_acc' for k in topk} <= {*expected}
    torch.testing.assert_close(seen, expected, check_dtype=False)
    gradients = [torch.autograd.grad(losses['loss_cls'], scores)[0]
                 for losses in (seen, expected)]
    assert torch.equal(*gradients)


def test_accuracy_of_bfloat16_scores_is_counted():
    # --amp makes scores bfloat16, which NumPy does not support
    losses = head().loss_by_feat(
        torch.eye(7)[:4].bfloat16(), samples([0, 1, 6, 3]))
    assert losses['top1_acc'] == 0.75


THREE = dict(joint_names=['a', 'b', 'c'], edges=[(1, 0), (2, 1)], center=0,
             bones=[(1, 0)])


@pytest.mark.parametrize('mode', ['spatial', 'stgcn_spatial'])
@pytest.mark.parametrize('layout', [
    'openpose', 'nturgb+d', 'coco',
    dict(num_node=3, inward=[(1, 0), (2, 0)], center=0)], ids=str)
def test_graphs_of_upstream_are_unchanged(layout, mode):
    seen, expected = Graph(layout, mode), object.__new__(Graph)
    Graph.__init__.__wrapped__(expected, layout, mode)
    np.testing.assert_array_equal(seen.A, expected.A)
    assert seen.__dict__.keys() - {'skeleton'} == expected.__dict__.keys()
    for name in ('num_node', 'inward', 'center', 'max_hop'):
        assert getattr(seen, name) == getattr(expected, name)


@pytest.mark.parametrize('mode', ['spatial', 'stgcn_spatial'])
@pytest.mark.parametrize('layout', ['nw-ucla', THREE, SkeletonLayout(
    name='three', **THREE)], ids=str)
def test_graph_accepts_other_layouts(layout, mode):
    graph, expected = Graph(layout, mode=mode), SkeletonLayout.get(layout)
    joints = expected.num_joints
    assert (graph.num_node, graph.center) == (joints, expected.center)
    assert graph.inward == [*expected.edges]
    assert graph.A.shape[1:] == (joints, joints)
    assert (graph.A.sum(axis=(0, 1)) > 0).all()
