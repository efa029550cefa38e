"""Training on a GPU. Without one, these tests are skipped."""
import sys

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config

from projects.stdcl.catalogue import ENCODERS, find_config
from runs.benchmarks.training_step import TrainingStep
from tests.commands import CONFIG, ROOT, TINY, accuracy, call
from tests.test_encoders import drop_nothing

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no CUDA GPU')]
OPTIONS = ('--seed', 1, '--cfg-options', *TINY)


def make_step(encoder, stdcl, device='cuda'):
    torch.manual_seed(1)
    step = TrainingStep(Config.fromfile(
        find_config(encoder, 'synthetic', stdcl)), 8, 40, device)
    drop_nothing(step.model)
    return step


def take_step(encoder, stdcl, device, amp=False, sync='default'):
    """Take a training step as MMEngine does; return loss and gradient."""
    step = make_step(encoder, stdcl, device)
    samples = [ActionDataSample(metainfo=dict(sample_idx=index)).set_gt_label(
        index) for index in range(8)]  # as in the banks
    data = dict(inputs=list(step.batch[0].cpu()), data_samples=samples)
    torch.cuda.set_sync_debug_mode(sync)
    try:
        with torch.autocast('cuda', torch.float16, enabled=amp):
            data = step.model.data_preprocessor(data, True)
            losses = step.model(**data, mode='loss')
        loss, _ = step.model.parse_losses(losses)
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    norm = torch.nn.utils.get_total_norm([
        parameter.grad for parameter in step.model.parameters()])
    return torch.stack([loss.detach(), norm]).cpu()


@pytest.mark.parametrize('stdcl', [False, True])
@pytest.mark.parametrize('encoder', ENCODERS)
def test_step(encoder, stdcl):
    """The CPU never waits for the GPU, and both get the same results."""
    expected = take_step(encoder, stdcl, 'cpu')
    for amp, tolerance in (False, 1e-2), (True, 5e-2):
        # the first step initializes libraries, so it may wait
        for sync in ('default', 'error'):
            loss = take_step(encoder, stdcl, 'cuda', amp, sync)
        torch.testing.assert_close(loss, expected, rtol=tolerance, atol=0)


def test_step_can_be_captured():
    """A CUDA graph can repeat the step with a different batch."""
    step = make_step('stgcn', True)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # PyTorch requires a warm-up
        for _ in range(3):
            step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    features = step.head.spatial_bank.features
    before = features.clone()
    step.batch[2].add_(16)  # different sequences of the same classes
    graph.replay()
    assert (features != before).any(dim=1).nonzero().flatten().tolist() == (
        step.batch[2].tolist())


@pytest.mark.parametrize('amp', [[], ['--amp']])
def test_train_resume_and_test(amp, tmp_path):
    arguments = ROOT / CONFIG, '--work-dir', tmp_path, *amp
    call(sys.executable, 'tools/train.py', *arguments, *OPTIONS, cwd=ROOT)
    call(sys.executable, 'tools/train.py', *arguments, '--resume', *OPTIONS,
         'train_cfg.max_epochs=2', cwd=ROOT)
    done = call(sys.executable, 'tools/test.py', ROOT / CONFIG,
                tmp_path / 'epoch_2.pth', '--cfg-options', *TINY, cwd=ROOT)
    assert accuracy(done) >= 0


def test_one_process_with_nccl(tmp_path):
    done = call('bash', 'tools/dist_train.sh', CONFIG, 1, '--work-dir',
                tmp_path, *OPTIONS, cwd=ROOT)
    assert accuracy(done) >= 0
