"""A training step stays on the GPU, and compiles to one graph.

No GPU is needed. The forward pass is tested with fake CUDA tensors, which have
no content. Their backward pass would need CUDA, so it is tested on the meta
device.
"""
import copy
import ctypes
import itertools
import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch._subclasses import FakeTensorMode

from projects.stdcl.catalogue import ENCODERS, find_config
from runs.benchmarks.operations import meta_autocast
from runs.benchmarks.training_step import TrainingStep
from tests.commands import ROOT, call
from tests.test_encoders import drop_nothing
from tests.watch import Watch

SCRIPTS = ROOT / 'runs/benchmarks'
STUDY = """
about = 'a run that takes seconds'
benchmark = 'synthetic'
options = {'train_cfg.max_epochs': 1,
           'train_dataloader.batch_size': 16,
           'train_dataloader.dataset.num_sequences': 16,
           'val_dataloader.dataset.num_sequences': 16,
           'test_dataloader.dataset.num_sequences': 16}
arms = dict(hcn=dict(encoder='hcn', seeds=1))
"""
N = 4
CLIP = Config.fromfile(find_config('stgcn', 'synthetic', True)).clip_shape
PARTS = list(itertools.product(
    ('ProjectionDecoupler', 'AttentiveDecoupler'),
    ('MemoryBank', 'ClassBalancedMemoryBank')))
# the only tensor that a step creates on the CPU: the indices of the sequences
INDICES = ('lift_fresh.default', (N, ))
# encoder, parts of STD-CL or None, mixed precision
STEPS = [(encoder, parts, amp) for encoder in ENCODERS
         for parts in (*PARTS, None) for amp in (False, True)]
FAST = {(encoder, PARTS[i % 4], i % 2 == 0)
        for i, encoder in enumerate(ENCODERS)}


def config(encoder, parts):
    """Return the narrow synthetic config, with three blocks except in HCN."""
    cfg = Config.fromfile(find_config(encoder, 'synthetic', parts is not None))
    if encoder != 'hcn':
        cfg.model.backbone.num_stages = 3
        cfg.model.cls_head.in_channels = cfg.model.backbone.base_channels
    if parts:
        cfg.model.cls_head.decoupler.type = parts[0]
        cfg.model.cls_head.memory_bank.type = parts[1]
        if encoder == 'hcn':
            cfg.model.cls_head.decoupler.in_channels = (
                cfg.model.cls_head.in_channels // 2)
        if encoder != 'hyperformer':  # as in the recommended variant
            cfg.model.contrast_block = 1 if encoder == 'hcn' else 2
    return cfg


@pytest.fixture(scope='module')
def fake_cuda():
    """Let a build of PyTorch without CUDA compute with fake CUDA tensors."""
    if torch.cuda.is_available():
        yield
        return
    # Many operations switch to the device of the tensor. As on the meta
    # device, switching now does nothing.
    path, = (Path(torch.__file__).parent / 'lib').glob('libc10.[sd]*')
    guards = (ctypes.c_void_p * 15).in_dll(
        ctypes.CDLL(str(path)), '_ZN3c104impl26device_guard_impl_registryE')
    cuda, meta = 1, 14  # c10::DeviceType
    before, guards[cuda] = guards[cuda], guards[meta]
    with mock.patch('torch.cuda.amp.common.amp_definitely_not_available',
                    return_value=False):
        yield
    guards[cuda] = before


def take_step(model, device, amp=False):
    """Return the operations of a step whose results are on the CPU."""
    fake = device == 'cuda'
    with FakeTensorMode() if fake else meta_autocast():
        model._apply(lambda tensor: torch.empty(
            tensor.shape, dtype=tensor.dtype, device=device))
        samples = [ActionDataSample(
            metainfo=dict(sample_idx=index),
            gt_label=torch.zeros(1, dtype=torch.long, device=device))
            for index in range(N)]
        clips = torch.empty(N, 1, *CLIP, device=device)
        autocast = torch.autocast(device, dtype=torch.float16, enabled=amp)
        with Watch() as watch, autocast:
            losses = model(model.data_preprocessor.make_stream(clips), samples,
                           mode='loss')
            if not fake:
                model.parse_losses(losses)[0].backward()
    assert any(one.dtype == torch.float16 for one in watch.results) == amp
    return [(one.operation, one.shape) for one in watch.results if one.is_cpu]


@pytest.fixture(autouse=True)
def new_parameters():
    """Let parameters move to a device that cannot share their memory."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.parametrize('encoder, parts, amp', [
    pytest.param(*step, marks=[] if step in FAST else pytest.mark.slow)
    for step in STEPS])
def test_step_stays_on_the_gpu(encoder, parts, amp, fake_cuda):
    model = MODELS.build(config(encoder, parts).model)
    if parts:
        model.cls_head.resize_banks(40)
    expected = [INDICES] if parts else []
    assert take_step(copy.deepcopy(model), 'meta') == expected
    assert take_step(model, 'cuda', amp) == expected


@pytest.mark.parametrize('fault, message', {
    (lambda x: x.sum().item()): 'local_scalar_dense',
    (lambda x: x.cpu()): '_to_copy',
    (lambda x: x[x > 0]): 'nonzero',
    (lambda x: x + torch.zeros(x.shape)): 'zeros|device',
}.items())
def test_faults_are_found(fault, message, fake_cuda):
    model = MODELS.build(config('hcn', PARTS[0]).model)
    model.cls_head.resize_banks(40)

    def hook(module, arguments):
        fault(arguments[0])

    model.cls_head.loss_contrast.register_forward_pre_hook(hook)
    with pytest.raises((AssertionError, RuntimeError), match=message):
        assert take_step(model, 'cuda') == [INDICES]


@pytest.mark.parametrize('encoder', [
    pytest.param(encoder, marks=[] if encoder == 'hcn' else pytest.mark.slow)
    for encoder in ENCODERS])
def test_compiles_to_one_graph(encoder):
    """The graph gives the same loss, gradients and spatial bank."""
    step = TrainingStep(config(encoder, PARTS[0]), N, num_sequences=40)
    drop_nothing(step.model)
    compiled, before = map(copy.deepcopy, (step, step.head.spatial_bank))
    # inductor is slow, and its rounding can flip a ReLU or a spanning tree
    compiled.loss = torch.compile(
        compiled.loss, fullgraph=True, backend='aot_eager' if encoder in (
            'hcn', 'blockgcn', 'hyperformer') else 'inductor')
    torch.testing.assert_close(compiled(), step())
    for ours, theirs in zip(compiled.model.parameters(),
                            step.model.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4,
                                   atol=1e-5)
    bank, other = step.head.spatial_bank, compiled.head.spatial_bank
    assert (bank.features != before.features).any(dim=1).sum() == N
    torch.testing.assert_close(other.features, bank.features)


def test_stdcl_adds_few_operations(tmp_path, monkeypatch):
    out = tmp_path / 'operations.csv'
    monkeypatch.setattr(sys, 'argv', [
        'operations.py', '--encoders', 'hcn', '--out', str(out)])
    runpy.run_path(str(SCRIPTS / 'operations.py'), run_name='__main__')
    counted, recorded = map(pd.read_csv, (out, SCRIPTS / 'operations.csv'))
    assert len(counted) == 1
    for frame in (counted, recorded):
        assert frame['added by STD-CL'].between(1, 180).all()


@pytest.mark.slow
def test_gpu_command(tmp_path):
    study, path = tmp_path / 'study.py', tmp_path / 'out/results.json'
    study.write_text(STUDY)
    command = (sys.executable, '-m', 'runs.benchmarks.gpu', '--small',
               '--minutes', 20, '--out', path.parent, '--study', study)
    call(*command, cwd=SCRIPTS.parents[1])
    results = json.loads(path.read_text())
    assert not [entry for entry in results.values() if 'error' in entry]
    assert 'failed' not in results['tests']
    assert results['study *']['runs_left'] == 0
    assert results['compiled, synthetic, hcn, STD-CL']['ms'] > 0
    content = path.read_text()
    # a second call skips recorded results
    assert 'eager' not in call(*command, cwd=SCRIPTS.parents[1]).stdout
    assert path.read_text() == content
