"""The repairs of MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

One section for each row of the table of what breaks (row 4, checkpoints, is
in test_checkpoint_safety.py). Where it is cheap, a test shows the fault next
to its repair. What needs a machine without an accelerator says so.
"""
import importlib.util
import inspect
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace

import mmaction
import mmengine.device
import numpy as np
import pytest
import torch
from mmaction.evaluation import top_k_accuracy as upstream_top_k
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
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from packaging.requirements import Requirement
from torch.nn.parallel import DistributedDataParallel

from projects.stdcl.compat import (
    accuracy_on_device,
    amp_on_cpu,
    distributed_on_cpu,
    mmaction_drn,
)
from projects.stdcl.utils import safe_files
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import LAYOUTS, SkeletonLayout

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / 'tools'
SCRIPTS = ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
MMACTION = Path(mmaction.__file__).parent

on_cpu_only = pytest.mark.skipif(
    distributed_on_cpu.has_accelerator(),
    reason='needs a machine without an accelerator')


def environment(*folders, **variables):
    """For a subprocess on the CPU that imports from these folders only."""
    env = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='',
               PYTHONPATH=os.pathsep.join(map(str, folders)), **variables)
    env['PATH'] = os.pathsep.join([os.path.dirname(sys.executable),
                                   env['PATH']])
    return env


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return str(one.getsockname()[1])


def run(command, cwd, env):
    return subprocess.run(list(map(str, command)), cwd=cwd, env=env, text=True,
                          capture_output=True, timeout=300)


# --- a training in the small -----------------------------------------------

PARTS = '''
    import torch
    from mmaction.registry import DATASETS
    from mmaction.structures import ActionDataSample


    @DATASETS.register_module()
    class FourSequences(torch.utils.data.Dataset):
        metainfo = dict()

        def __len__(self):
            return 4

        def __getitem__(self, index):
            inputs = torch.randn(1, 1, 4, 20, 3)
            return dict(inputs=inputs,
                        data_samples=ActionDataSample().set_gt_label(index))
    '''

CONFIG = '''
    _base_ = 'mmaction::_base_/default_runtime.py'
    custom_imports = dict(imports=['projects.stdcl', 'four_sequences'],
                          allow_failed_imports=False)
    model = dict(
        type='RecognizerGCN',
        backbone=dict(type='STGCN', base_channels=4, num_stages=1,
                      inflate_stages=[], down_stages=[],
                      graph_cfg=dict(layout='nw-ucla', mode='spatial')),
        cls_head=dict(type='GCNHead', num_classes=6, in_channels=4))
    train_dataloader = dict(
        batch_size=2, num_workers=0, dataset=dict(type='FourSequences'),
        sampler=dict(type='DefaultSampler', shuffle=True))
    val_dataloader = test_dataloader = train_dataloader
    val_evaluator = test_evaluator = dict(type='AccMetric')
    train_cfg = dict(by_epoch=True, max_epochs=1)
    val_cfg, test_cfg = dict(), dict()
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    auto_scale_lr = dict(enable=False, base_batch_size=4)
    '''


@pytest.fixture
def tiny(tmp_path):
    """Folder with a config that trains in an instant, and its data set."""
    (tmp_path / 'four_sequences.py').write_text(textwrap.dedent(PARTS))
    (tmp_path / 'tiny.py').write_text(textwrap.dedent(CONFIG))
    return tmp_path


def test_repairs_are_active_under_the_command_of_mim(tmp_path):
    # what "mim train mmaction CONFIG --launcher none --amp" runs: nothing but
    # the config brings in our package. Rows 1 to 5b and 7 are on its way.
    done = run([sys.executable, MMACTION / '.mim' / 'tools' / 'train.py',
                ROOT / 'configs' / 'stdcl' / 'stdcl-stgcn_synthetic.py',
                '--launcher', 'none', '--amp', '--work-dir', 'out',
                '--cfg-options', 'train_cfg.max_epochs=1',
                'train_dataloader.dataset.num_sequences=16',
                'val_dataloader.dataset.num_sequences=16'],
               tmp_path, environment(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    saved = torch.load(tmp_path / 'out' / 'epoch_1.pth', weights_only=True)
    assert saved['meta']['iter'] == 1
    assert 'train/top5_acc' in saved['message_hub']['log_scalars']


def test_two_processes_train_and_test_on_the_cpu(tiny):
    # from a working directory that is not the repository
    done = run(['bash', TOOLS / 'dist_train.sh', 'tiny.py', 2,
                '--work-dir', 'out'], tiny,
               environment(tiny, PORT=free_port()))
    assert done.returncode == 0, done.stderr[-3000:]
    saved = torch.load(tiny / 'out' / 'epoch_1.pth', weights_only=True)
    # 4 sequences in batches of 2 by 2 processes
    assert saved['meta']['iter'] == 1
    done = run(['bash', TOOLS / 'dist_test.sh', 'tiny.py', 'out/epoch_1.pth',
                2, '--work-dir', 'out', '--dump', 'scores.pkl'], tiny,
               environment(tiny, PORT=free_port()))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(safe_files.load(tiny / 'scores.pkl')) == 4


# --- row 1: a folder that the wheel of MMAction2 leaves out ----------------


@pytest.fixture
def fake_mmaction(tmp_path, monkeypatch):
    """An installation of MMAction2, not imported yet, and without drn."""
    localizers = tmp_path / 'mmaction' / 'models' / 'localizers'
    localizers.mkdir(parents=True)
    spec = SimpleNamespace(origin=str(tmp_path / 'mmaction' / '__init__.py'))
    monkeypatch.setattr(mmaction_drn, 'importlib', SimpleNamespace(
        util=SimpleNamespace(find_spec=lambda name: spec)))
    for name in [name for name in sys.modules
                 if name.startswith(mmaction_drn.PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    # so that it is removed again, whatever the test does
    monkeypatch.setattr(sys, 'modules', dict(sys.modules))
    return localizers


def stand_ins():
    return [name for name in sys.modules
            if name.startswith(mmaction_drn.PACKAGE)]


def test_models_cannot_be_imported_without_the_repair(tmp_path):
    if (MMACTION / 'models' / 'localizers' / 'drn').is_dir():
        pytest.skip('the installed mmaction2 is complete')
    done = run([sys.executable, '-c', 'import mmaction.models'], tmp_path,
               environment())
    assert 'ModuleNotFoundError' in done.stderr
    assert mmaction_drn.PACKAGE in done.stderr


def test_models_can_be_imported_after_the_package(tmp_path):
    done = run([sys.executable, '-c',
                'import projects.stdcl, mmaction.models.localizers as all\n'
                'print(all.DRN)'], tmp_path, environment(ROOT))
    assert 'DRN' in done.stdout, done.stderr


def test_missing_folder_gets_a_stand_in(fake_mmaction):
    mmaction_drn.apply()
    assert len(stand_ins()) == 2


def test_complete_installation_is_left_alone(fake_mmaction):
    (fake_mmaction / 'drn').mkdir()
    mmaction_drn.apply()
    assert stand_ins() == []


def test_missing_model_says_why():
    with pytest.raises(ImportError, match='2714'):
        mmaction_drn.DRN(cfg=None)


# --- rows 2 and 3: what MMAction2 and MMEngine do not declare --------------


@pytest.fixture(scope='module')
def requirements():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    parsed = [Requirement(line.split('#')[0]) for line in lines
              if line.split('#')[0].strip()]
    return {requirement.name: requirement for requirement in parsed}


def test_importlib_metadata_is_declared(requirements):
    assert 'importlib_metadata' in requirements


def test_setuptools_with_pkg_resources_is_declared(requirements):
    specifier = requirements['setuptools'].specifier
    assert '81.0.0' in specifier
    assert '82.0.0' not in specifier  # has no pkg_resources any more


@pytest.mark.parametrize('module, user', [
    ('importlib_metadata', 'mmaction.utils.dependency'),
    ('pkg_resources', 'mmengine.utils.package_utils')])
def test_undeclared_modules_are_used_upstream(module, user):
    # once upstream does without, so can requirements.txt
    source = Path(importlib.util.find_spec(user).origin).read_text()
    assert module in source
    assert importlib.util.find_spec(module)


def test_config_can_inherit_from_mmaction(tmp_path, monkeypatch):
    path = tmp_path / 'a.py'
    path.write_text("_base_ = 'mmaction::_base_/default_runtime.py'\n")
    assert Config.fromfile(path).default_scope == 'mmaction'
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    with pytest.raises(ModuleNotFoundError, match='pkg_resources'):
        Config.fromfile(path)


# --- row 5: processes on the CPU -------------------------------------------


@pytest.fixture
def launched(monkeypatch):
    """Record what the launcher of MMEngine calls, in place of doing it."""
    calls = []
    for name, value in dict(RANK='1', LOCAL_RANK='1', WORLD_SIZE='2').items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda index: calls.append(
        ('set_device', index)))
    monkeypatch.setattr(
        dist_utils.torch_dist, 'init_process_group',
        lambda *args, **kwargs: calls.append(('init', args, kwargs)))
    return calls


@pytest.mark.parametrize('accelerator', [True, False])
def test_launcher_uses_gloo_only_without_accelerator(
        accelerator, launched, monkeypatch):
    monkeypatch.setattr(
        distributed_on_cpu, 'has_accelerator', lambda: accelerator)
    set_device = torch.cuda.set_device
    init_dist('pytorch', backend='nccl', world_size=2)
    if accelerator:
        assert launched == [
            ('set_device', 1),
            ('init', (), dict(backend='nccl', world_size=2))]
    else:
        assert launched == [('init', (), dict(backend='gloo', world_size=2))]
    assert torch.cuda.set_device is set_device


@pytest.mark.parametrize('name', ['pytorch', 'slurm', 'mpi'])
def test_every_launcher_is_repaired(name):
    launcher = getattr(dist_utils, f'_init_dist_{name}')
    assert launcher.__wrapped__.__module__ == 'mmengine.dist.utils'
    assert (inspect.signature(launcher)
            == inspect.signature(launcher.__wrapped__))


def test_launcher_gets_its_arguments_with_an_accelerator(monkeypatch):
    calls = []
    launch = distributed_on_cpu._launch_on_cpu(
        lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(distributed_on_cpu, 'has_accelerator', lambda: True)
    launch('nccl', port=3, init_backend='deepspeed')
    assert calls == [(('nccl', ), dict(port=3, init_backend='deepspeed'))]


def test_failed_launch_gives_set_device_back(monkeypatch):
    monkeypatch.setattr(distributed_on_cpu, 'has_accelerator', lambda: False)
    set_device = torch.cuda.set_device

    def fail(backend):
        assert torch.cuda.set_device is not set_device
        raise OSError

    with pytest.raises(OSError):
        distributed_on_cpu._launch_on_cpu(fail)('nccl')
    assert torch.cuda.set_device is set_device


@pytest.mark.parametrize('device, expected', [
    ('cpu', False), ('cuda', True), ('npu', True), ('mps', True)])
def test_accelerator_is_what_mmengine_will_use(device, expected, monkeypatch):
    monkeypatch.setattr(mmengine.device, 'get_device', lambda: device)
    assert distributed_on_cpu.has_accelerator() is expected


@pytest.mark.parametrize('device, expected', [('cpu', None), ('meta', [1])])
def test_device_ids_are_left_out_on_the_cpu_only(
        device, expected, monkeypatch):
    # "meta" stands in for a GPU
    seen = {}
    monkeypatch.setattr(DistributedDataParallel, '__init__',
                        lambda self, **kwargs: seen.update(kwargs))
    module = torch.nn.Linear(1, 1, device=device)
    MMDistributedDataParallel(
        module, device_ids=[1], broadcast_buffers=False,
        detect_anomalous_params=True)
    assert seen.pop('module') is module
    assert seen == dict(device_ids=expected, broadcast_buffers=False)


@pytest.mark.parametrize('encoder', ['stgcn', '2s-agcn', 'ctrgcn',
                                     'hyperformer', 'hcn'])
def test_sync_bn_converts_the_encoders(encoder):
    """As ``sync_bn='torch'`` does: before weights are initialised."""
    config = Config.fromfile(
        ROOT / f'configs/{encoder}/{encoder}_synthetic.py').model
    models = []
    for convert in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(config)
        if convert:
            model = convert_sync_batchnorm(model, 'torch')
        model.init_weights()
        models.append(model)
    plain, synced = models
    norms = [[type(part) for part in model.modules()
              if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
             for model in models]
    assert set(norms[1]) <= {torch.nn.SyncBatchNorm}
    assert len(norms[0]) == len(norms[1])
    assert bool(norms[0]) == (encoder != 'hcn')  # which has none
    expected = plain.state_dict()
    assert synced.state_dict().keys() == expected.keys()
    for name, tensor in synced.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    # in one process it is batch norm, in training too
    clip = torch.randn(2, 1, 32, 20, 3)
    results = []
    for model in models:
        torch.manual_seed(0)  # dropout
        results.append(model.backbone(clip))
    torch.testing.assert_close(*results)


def test_sync_bn_on_the_cpu_is_refused_before_the_first_step():
    model = convert_sync_batchnorm(torch.nn.BatchNorm2d(1), 'torch')
    with pytest.raises(InputError, match="sync_bn is 'torch'.*needs a GPU"):
        MMDistributedDataParallel(model, device_ids=[0])


def test_two_processes_share_gradients_on_the_cpu(tmp_path):
    program = tmp_path / 'program.py'
    program.write_text(textwrap.dedent('''
        import atexit, os, sys
        import torch
        import projects.stdcl
        from mmengine.dist import get_rank, init_dist
        from mmengine.model import MMDistributedDataParallel

        # at the end Python holds up all threads for a while, until it is gone
        atexit.register(sum, range(3 * 10**7))
        init_dist('pytorch', backend='nccl')
        model = MMDistributedDataParallel(
            torch.nn.Linear(1, 1), device_ids=[int(os.environ['LOCAL_RANK'])])
        model(torch.full((1, 1), get_rank() + 1.)).sum().backward()
        with open(f'{sys.argv[1]}/{get_rank()}', 'w') as file:
            file.write(str(model.module.weight.grad.item()))
        # threads of gloo are still to let go of these
        for _ in range(9):
            torch.distributed.all_gather(
                [torch.zeros(9), torch.zeros(9)], torch.ones(9), async_op=True)
        '''))
    done = run([sys.executable, '-m', 'torch.distributed.run',
                '--nproc_per_node=2', f'--master_port={free_port()}',
                program, tmp_path], tmp_path, environment(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    # the mean of the gradients 1 and 2 of the two processes
    assert [(tmp_path / rank).read_text() for rank in '01'] == ['1.5', '1.5']


# --- row 5b: --amp on the CPU ----------------------------------------------


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
def test_amp_of_upstream_refuses_the_cpu():
    with pytest.raises(AssertionError, match='gpu'):
        AmpOptimWrapper.__init__.__wrapped__(
            object.__new__(AmpOptimWrapper), optimizer=None)


@on_cpu_only
@pytest.mark.parametrize('options', [
    dict(), dict(dtype='bfloat16'), dict(dtype=torch.bfloat16),
    dict(loss_scale=512.), dict(clip_grad=dict(max_norm=1.)),
    dict(accumulative_counts=2)], ids=str)
def test_amp_trains_in_bfloat16_on_the_cpu(options):
    model = Layer()
    before = model.layer.weight.detach().clone()
    wrapper = amp_wrapper(model, **options)
    for _ in range(2):
        model.train_step(dict(inputs=torch.ones(4, 2)), wrapper)
    assert model.seen == torch.bfloat16
    # the weights stay in full precision, and are trained
    assert model.layer.weight.dtype == torch.float32
    assert not torch.equal(model.layer.weight, before)
    assert model.layer.weight.isfinite().all()


@on_cpu_only
def test_amp_steps_as_far_as_without_it():
    torch.manual_seed(0)
    plain, amp = Layer(), Layer()
    amp.load_state_dict(plain.state_dict())
    inputs = torch.randn(8, 2)
    plain.train_step(dict(inputs=inputs), build_optim_wrapper(plain, dict(
        optimizer=dict(type='SGD', lr=0.1))))
    amp.train_step(dict(inputs=inputs), amp_wrapper(amp, loss_scale=512.))
    # no scale of the loss is left in the gradient; bfloat16 has 3 digits
    torch.testing.assert_close(
        amp.layer.weight, plain.layer.weight, atol=2e-3, rtol=1e-2)


@on_cpu_only
def test_amp_state_comes_back():
    model = Layer()
    wrapper = amp_wrapper(model)
    model.train_step(dict(inputs=torch.ones(4, 2)), wrapper)
    other = amp_wrapper(Layer())
    other.load_state_dict(wrapper.state_dict())
    momentum = wrapper.state_dict()['state'][0]['momentum_buffer']
    assert momentum.abs().sum() > 0
    assert torch.equal(
        other.state_dict()['state'][0]['momentum_buffer'], momentum)
    # bfloat16 has the range of float32, so the loss is not scaled
    assert other.state_dict()['loss_scaler'] == {}


@on_cpu_only
@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'float64', 'x'])
def test_amp_refuses_what_the_cpu_cannot(dtype):
    with pytest.raises(ValueError, match='optim_wrapper.dtype') as caught:
        amp_wrapper(Layer(), dtype=dtype)
    assert repr(dtype) in str(caught.value)
    assert 'bfloat16' in str(caught.value)


def test_amp_is_upstreams_with_an_accelerator(monkeypatch):
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


# --- row 6: scripts --------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    """Run a script with ``python`` and ``srun`` that only note arguments."""
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in ('python', 'srun'):
        program = programs / name
        program.write_text(
            '#!/bin/sh\n'
            f'printf "%s\\n" {name} "$PYTHONPATH" "$@" > record\n')
        program.chmod(0o755)

    def run_script(script, *args, **variables):
        env = dict(os.environ, **variables)
        env['PATH'] = f'{programs}{os.pathsep}{env["PATH"]}'
        done = run(['bash', script, *args], tmp_path, env)
        assert done.returncode == 0, done.stderr
        program, python_path, *arguments = (
            tmp_path / 'record').read_text().splitlines()
        first = python_path.split(os.pathsep)[0]
        # relative paths count from where the script was called
        assert os.path.samefile(tmp_path / first, ROOT)
        return program, arguments

    return run_script


def test_no_script_uses_the_deprecated_launcher():
    texts = {path: path.read_text() for path in TOOLS.rglob('*')
             if path.suffix in ('.sh', '.py')}
    assert len(texts) > len(SCRIPTS)
    for path, text in texts.items():
        assert 'distributed.launch' not in text, path


@pytest.mark.parametrize('name', SCRIPTS)
def test_script_is_executable_and_valid(name):
    assert os.access(TOOLS / name, os.X_OK)
    subprocess.run(['bash', '-n', TOOLS / name], check=True)


@pytest.mark.parametrize('name', SCRIPTS)
def test_script_without_arguments_prints_its_usage(name, tmp_path):
    done = run([TOOLS / name], tmp_path, dict(os.environ))
    assert done.returncode == 2
    assert f'bash tools/{name} ' in done.stderr
    assert 'CONFIG' in done.stderr


@pytest.mark.parametrize('name, arguments', [
    ('dist_train.sh', ['a.py', '2']),
    ('dist_test.sh', ['a.py', 'a.pth', '2'])])
def test_processes_are_started_by_torchrun(
        name, arguments, recorded, tmp_path):
    program, seen = recorded(
        TOOLS / name, *arguments, '--cfg-options', 'a="b c"', PORT='1234')
    assert program == 'python'
    assert seen[:2] == ['-m', 'torch.distributed.run']
    start = next(i for i, argument in enumerate(seen)
                 if argument.endswith('.py'))
    assert '--nproc_per_node=2' in seen[2:start]
    assert '--master_port=1234' in seen[2:start]
    wrapped = name[len('dist_'):].replace('.sh', '.py')
    assert os.path.samefile(tmp_path / seen[start], TOOLS / wrapped)
    assert seen[start + 1:] == [
        *arguments[:-1], '--launcher', 'pytorch', '--cfg-options', 'a="b c"']


@pytest.mark.parametrize('name, arguments', [
    ('slurm_train.sh', ['a.py']), ('slurm_test.sh', ['a.py', 'a.pth'])])
def test_jobs_are_started_by_srun(name, arguments, recorded, tmp_path):
    program, seen = recorded(
        TOOLS / name, 'queue', 'job', *arguments, '--seed', '0',
        GPUS='4', GPUS_PER_NODE='2', SRUN_ARGS='--mem 1G')
    assert program == 'srun'
    start = seen.index('python')
    for option in ('-p', 'queue', '--job-name=job', '--gres=gpu:2',
                   '--ntasks=4', '--ntasks-per-node=2', '--mem', '1G'):
        assert option in seen[:start]
    wrapped = name[len('slurm_'):].replace('.sh', '.py')
    assert os.path.samefile(tmp_path / seen[start + 2], TOOLS / wrapped)
    assert seen[start + 3:] == [*arguments, '--launcher', 'slurm',
                                '--seed', '0']


def test_slurm_without_gpus(recorded):
    _, seen = recorded(TOOLS / 'slurm_train.sh', 'queue', 'job', 'a.py',
                       GRES='')
    assert not [option for option in seen if option.startswith('--gres')]


def test_scripts_find_the_repository_through_a_link(recorded, tmp_path):
    # called by a relative path, from elsewhere
    link = tmp_path / 'clone'
    link.symlink_to(ROOT)
    program, _ = recorded('clone/tools/dist_train.sh', 'a.py', '2')
    assert program == 'python'


# --- row 7: top-k accuracy on the device -----------------------------------


@pytest.fixture(scope='module')
def upstream_loss():
    """``BaseHead.loss_by_feat`` as in MMAction2, from its file."""
    spec = importlib.util.spec_from_file_location(
        'upstream_head', MMACTION / 'models' / 'heads' / 'base.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BaseHead.loss_by_feat


def head(num_classes=7, **kwargs):
    return GCNHead(num_classes=num_classes, in_channels=4, **kwargs)


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def assert_same_losses(seen, expected):
    assert list(seen) == list(expected)
    for name, value in expected.items():
        assert seen[name].shape == value.shape
        torch.testing.assert_close(
            seen[name], value, check_dtype=False, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('num', [1, 2, 64])
@pytest.mark.parametrize('topk', [(1, ), (1, 5), (5, 2), (1, 7), (1, 9), ()])
def test_top_k_numbers_are_upstreams(num, topk):
    generator = torch.Generator().manual_seed(num)
    scores = torch.randn(num, 7, generator=generator)
    labels = torch.randint(7, (num, ), generator=generator)
    expected = upstream_top_k(scores.numpy(), labels.numpy(), topk)
    seen = accuracy_on_device.top_k_accuracy(scores, labels, topk)
    assert [value.item() for value in seen] == pytest.approx(expected)


@pytest.mark.parametrize('eps', [0., 0.1])
@pytest.mark.parametrize('num', [1, 7, 16])  # 7 is also the number of classes
def test_losses_of_hard_labels_are_upstreams(num, eps, upstream_loss):
    part = head(label_smooth_eps=eps)
    torch.manual_seed(num)
    scores = torch.randn(num, 7)
    batch = samples(torch.randint(7, (num, )).tolist())
    expected = upstream_loss(part, scores, batch)
    assert set(expected) == {'top1_acc', 'top5_acc', 'loss_cls'}
    assert_same_losses(part.loss_by_feat(scores, batch), expected)


@pytest.mark.parametrize('eps', [0., 0.1])
@pytest.mark.parametrize('num', [1, 7, 16])
def test_losses_of_soft_labels_are_upstreams(num, eps, upstream_loss):
    part = head(label_smooth_eps=eps)
    torch.manual_seed(num)
    scores = torch.randn(num, 7)
    batch = samples(torch.rand(num, 7).softmax(dim=1))
    expected = upstream_loss(part, scores, batch)
    assert set(expected) == {'loss_cls'}
    assert_same_losses(part.loss_by_feat(scores, batch), expected)


class TwoLosses(torch.nn.Module):

    def forward(self, scores, labels):
        return dict(loss_a=scores.sum(), loss_b=labels.sum())


def test_loss_that_is_a_dict_is_upstreams(upstream_loss):
    part = head()
    part.loss_cls = TwoLosses()
    scores, batch = torch.randn(3, 7), samples([0, 1, 6])
    assert_same_losses(part.loss_by_feat(scores, batch),
                       upstream_loss(part, scores, batch))


def test_gradients_are_upstreams(upstream_loss):
    part, batch = head(), samples([0, 1, 6])
    scores = torch.randn(3, 7, requires_grad=True)
    gradients = [
        torch.autograd.grad(loss(scores, batch)['loss_cls'], scores)[0]
        for loss in (part.loss_by_feat,
                     lambda *args: upstream_loss(part, *args))]
    assert torch.equal(*gradients)


def test_accuracy_of_bfloat16_scores_is_counted():
    # under --amp; numpy, so upstream, has no such type
    losses = head().loss_by_feat(
        torch.eye(7)[:4].bfloat16(), samples([0, 1, 6, 3]))
    assert losses['top1_acc'] == 0.75


@pytest.mark.parametrize('eps', [0., 0.1])
def test_scores_are_not_copied_to_the_cpu(eps, upstream_loss):
    # what is on the device "meta" has a shape only: to read it is an error
    part = head(label_smooth_eps=eps)
    scores = torch.empty(3, 7, device='meta')
    losses = part.loss_by_feat(scores, samples([0, 1, 6]))
    assert {loss.device.type for loss in losses.values()} == {'meta'}
    with pytest.raises(NotImplementedError, match='meta'):
        upstream_loss(part, scores, samples([0, 1, 6]))


# --- row 9, in part: skeletons by name -------------------------------------


def upstream_graph(*args, **kwargs):
    graph = object.__new__(Graph)
    Graph.__init__.__wrapped__(graph, *args, **kwargs)
    return graph


@pytest.mark.parametrize('mode', ['spatial', 'stgcn_spatial'])
def test_graph_knows_nw_ucla(mode):
    graph = Graph('nw-ucla', mode=mode)
    assert graph.num_node == 20
    assert graph.center == LAYOUTS['nw-ucla'].center
    assert graph.A.shape[1:] == (20, 20)
    # a tree: every joint has neighbours
    assert (graph.A.sum(axis=(0, 1)) > 0).all()
    with pytest.raises(AssertionError):
        upstream_graph('nw-ucla')


@pytest.mark.parametrize('mode', ['spatial', 'stgcn_spatial'])
@pytest.mark.parametrize('layout', [
    'openpose', 'nturgb+d', 'coco',
    dict(num_node=3, inward=[(1, 0), (2, 0)], center=0)], ids=str)
def test_graphs_of_upstream_are_unchanged(layout, mode):
    seen, expected = Graph(layout, mode), upstream_graph(layout, mode)
    np.testing.assert_array_equal(seen.A, expected.A)
    assert seen.__dict__.keys() == expected.__dict__.keys()
    for name in ('layout', 'num_node', 'inward', 'center', 'max_hop'):
        assert getattr(seen, name) == getattr(expected, name)


def test_graph_without_a_layout_is_upstreams():
    assert Graph().layout == upstream_graph().layout == 'coco'


@pytest.mark.parametrize('make', [dict, lambda **kw: SkeletonLayout(
    name='three', **kw)])
def test_graph_takes_a_layout_of_ours(make):
    graph = Graph(make(joint_names=['a', 'b', 'c'], edges=[(1, 0), (2, 1)],
                       center=0))
    assert (graph.num_node, graph.inward) == (3, [(1, 0), (2, 1)])


def test_unknown_skeleton_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match='"ntu"') as caught:
        Graph('ntu')
    for name in LAYOUTS:
        assert name in str(caught.value)


# --- a namespace -----------------------------------------------------------


def test_projects_is_a_namespace():
    import projects
    assert projects.__file__ is None
    assert not (ROOT / 'projects' / '__init__.py').exists()


def test_projects_of_other_repositories_stay_visible(tmp_path, monkeypatch):
    other = tmp_path / 'projects' / 'other_project'
    other.mkdir(parents=True)
    (other / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module('projects.other_project')
    assert isinstance(module, ModuleType)
    assert Path(module.__file__).parent == other
