"""Export of encoders to ONNX, verified with onnxruntime."""
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import Compose

from projects.stdcl.apis import SkeletonInferencer
from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.deployment import onnx
from projects.stdcl.deployment.onnx import DeployedNetwork, export
from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.commands import CONFIG, EXPORTS_ONNX, ROOT, TINY, call, train

if not EXPORTS_ONNX:
    pytest.skip('the extra "deploy" requires PyTorch 2.9',
                allow_module_level=True)
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')  # the commands need not import it again

ONE_STAGE = dict(num_stages=1, inflate_stages=[], down_stages=[])
SHALLOW = dict(num_stages=2, inflate_stages=[2], down_stages=[2])
OPTIONS = ['--cfg-options', *TINY, 'model.cls_head.in_channels=16',
           *(f'model.backbone.{name}={value}'
             for name, value in SHALLOW.items())]
SHAPE = tuple(Config.fromfile(ROOT / CONFIG).clip_shape)
CLIPS = torch.randn(5, *SHAPE)
CLIP_LEN = 'test_dataloader.dataset.pipeline.1.clip_len=16'


def build(encoder, stream='joint', **options):
    """Build a narrow model with nontrivial batch norm statistics."""
    cfg = Config.fromfile(find_config(encoder, 'synthetic', stdcl=True))
    cfg.model.data_preprocessor.stream = stream
    cfg.model.backbone.update(options)
    if options:
        cfg.model.cls_head.in_channels = (
            options['num_stages'] * cfg.model.backbone.base_channels)
    model = MODELS.build(cfg.model)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.weight)
    return model.eval()


@pytest.mark.parametrize('encoder', ENCODERS)
def test_any_batch_size_equals_pytorch(encoder, tmp_path):
    model = build(encoder, 'bone-motion', **{} if encoder == 'hcn' else (
        SHALLOW if encoder == 'stgcn' else ONE_STAGE))
    path = tmp_path / 'net.onnx'
    assert export(model, CLIPS, path, dict(stream='bone-motion')) < 1e-4
    assert [file.name for file in tmp_path.iterdir()] == ['net.onnx']
    session = onnxruntime.InferenceSession(str(path))
    assert session.get_modelmeta().custom_metadata_map['stream'] == (
        'bone-motion')
    for batch in (1, 3):
        clips = torch.randn(batch, 1, *SHAPE)  # axis 1 counts clips
        inputs, _ = model.data_preprocessor.preprocess(list(clips), None)
        expected = model.cls_head(model.backbone(inputs[:, 0]))
        logits, = session.run(None, {'clips': clips[:, 0].numpy()})
        np.testing.assert_allclose(
            logits, expected.detach().numpy(),
            atol=1e-4 * float(expected.detach().abs().max()))
        assert batch == 1 or np.ptp(logits, axis=0).max() > 1e-3


SCRIPT = SimpleNamespace(**runpy.run_path(
    str(ROOT / 'docs/guides/run_onnx.py')))


@pytest.mark.parametrize('frames', [7, 150, 300])
@pytest.mark.parametrize('data, dims', [
    ('jhmdb', 2), ('nw-ucla-xview', 2), ('nw-ucla-xview', 3),
    ('ntu60-xsub', 2), ('ntu60-xsub', 3), ('ntu60-xsub_u100', 3),
    ('ntu120-xsub', 3), ('PreNormalize2D', 2)])
def test_script_prepares_clips_like_the_pipeline(data, dims, frames):
    own = data == 'PreNormalize2D'  # used by tools/data/custom.py
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets'
                          / f'{"jhmdb" if own else data}.py')
    steps = cfg.test_pipeline
    if own:
        steps[0] = dict(type=data)
    for step in steps:
        if 'num_person' in step:
            step['num_person'] = 3
    rng = np.random.default_rng(frames)
    joints = rng.normal(300, 99, (2, frames, 25, 3)).astype('f4')
    joints[0, 3:6] = joints[1, frames // 2:] = 0  # absent persons
    if data == 'ntu120-xsub':
        joints[1] = 0  # a copy of the other takes their place
    item = dict(keypoint=joints[..., :dims].copy(), total_frames=frames,
                img_shape=(480, 640), label=0, frame_dir='a')
    if dims == 2:
        joints[..., 2] = rng.integers(0, 3, joints.shape[:3]) / 2
        item['keypoint_score'] = joints[..., 2].copy()
    expected = Compose(steps)(item)['inputs'].numpy()
    nobody = np.zeros_like(joints)
    found = SCRIPT.prepare(np.concatenate([nobody, joints, nobody]), dict(
        dims=str(dims), pipeline=json.dumps(steps),
        clip_shape=f'[3, {cfg.clip_len}, 25, 3]'), (480, 640))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4,
                               atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize('shape', [(9, 17, 3), (2, 9, 25, 2), (25, 3),
                                   (0, 25, 3)])
def test_script_names_the_expected_shape(shape):
    with pytest.raises(SystemExit, match=r'^error: .*25 joints, 3 channels'):
        SCRIPT.prepare(np.ones(shape), dict(clip_shape='[3, 9, 25, 3]'))
    with pytest.raises(SystemExit, match='^error: .* finite'):
        SCRIPT.prepare(np.full((9, 2, 3), np.inf),
                       dict(clip_shape='[1, 9, 2, 3]'))
    for outside in 0.5, 700:  # normalized, or x and y swapped
        with pytest.raises(SystemExit, match='^error: .* not pixels'):
            SCRIPT.prepare(np.full((9, 2, 2), outside), dict(
                dims='2', pipeline='[{"type": "PreNormalize2D"}]',
                clip_shape='[1, 9, 2, 2]'), (480, 640))
    pixels = np.random.default_rng(0).uniform(9, 99, (2, 9, 2, 2))
    lost = np.where(np.arange(9)[:, None, None] == 4, -1, pixels)
    for joints, message in (
            (lost, '4 of 36 .*all -1'), (pixels * [0, 1], 'x or y'),
            (np.where(lost < 0, 9999, pixels), '4 of 36 .*all 9999'),
            (pixels * 1e15, '1e15'), (pixels.swapaxes(0, 1), '9 persons')):
        with pytest.raises(SystemExit, match=f'^error: .*{message}'):
            SCRIPT.prepare(joints, dict(dims='2', clip_shape='[2, 9, 2, 2]'))
    rising = np.linspace(0, 1, 9)[:, None, None] * np.ones((9, 2, 3))
    for joints, dims in (1.5, '2'), ([199, 199, 1], '3'):
        with pytest.raises(SystemExit, match='^error: .* from 0 to 1.*expect'):
            SCRIPT.prepare(rising * joints,
                           dict(dims=dims, clip_shape='[1, 9, 2, 3]'))
    assert SCRIPT.printable('é\x1b[2J\n1.0000') == 'é?[2J?1.0000'


def test_script_averages_probabilities():
    session = SimpleNamespace(
        run=lambda *_: [np.log([[0.9, 0.1], [0.2, 0.8]])],
        get_modelmeta=lambda: SimpleNamespace(custom_metadata_map=dict(
            dims='3', clip_shape='[1, 9, 2, 3]', pipeline='[]')))
    np.testing.assert_allclose(SCRIPT.classify(session, np.ones((9, 2, 3))),
                               [0.55, 0.45])


def test_clips_are_those_of_the_data(tiny_annotations):
    steps = [dict(type='RandomSampleFrames', clip_len=9, test_mode=True),
             dict(type='PoseDecode'), dict(type='FormatGCNInput'),
             dict(type='PackActionInputs')]
    data = dict(type='SkeletonDataset', pipeline=steps, split='xview_val',
                ann_file=tiny_annotations(num=3))
    layout = SkeletonLayout.get('nw-ucla')
    clips = onnx.sample_clips(data, steps, layout, (3, 12, 20, 3))
    expected = DATASETS.build(data)[1]['inputs'][0]  # (2, 9, 20, 3)
    assert torch.equal(clips[4, :2, :9], expected)
    assert torch.equal(clips[4, 2, 9:], expected[0, :3])
    missing = dict(data, ann_file='none.pkl')
    steps.insert(0, dict(type='MinMaxNormalize'))
    clips = onnx.sample_clips(missing, steps, layout, (1, 9, 20, 3))
    assert clips.shape == (5, 1, 9, 20, 3) and 0.9 < clips.abs().max() <= 1
    arm = SkeletonLayout('arm', ['a', 'b'], [(1, 0)], 0)  # too few limbs
    clips = onnx.sample_clips(missing, steps, arm, (1, 500, 2, 3))
    assert clips.shape == (5, 1, 500, 2, 3) and clips.abs().max() > 3


@pytest.mark.parametrize('difference, shown', [(2e-4, '2.0e-04'),
                                               (np.nan, 'nan')])
def test_file_that_differs_is_not_kept(tmp_path, monkeypatch, difference,
                                       shown):
    program = SimpleNamespace(
        model=SimpleNamespace(metadata_props={}),
        save=lambda path, **options: Path(path).touch())
    monkeypatch.setattr(torch.onnx, 'export', lambda *args, **options: program)
    monkeypatch.setattr(onnx, 'compare', lambda *_: difference)
    with pytest.raises(InputError, match=f'by {shown} .*at most 1e-04'):
        export(build('hcn'), CLIPS, tmp_path / 'net.onnx', {})
    assert not list(tmp_path.iterdir())


def test_compare_sees_a_difference(tmp_path):
    model = build('hcn')
    export(model, CLIPS, tmp_path / 'net.onnx', {})
    # recognizers of users may override this method
    extract, expected = model.extract_feat, DeployedNetwork(model)(2 * CLIPS)
    model.extract_feat = lambda clips, test_mode: extract(
        (1 + test_mode) * clips)
    assert torch.equal(DeployedNetwork(model)(CLIPS), expected)
    del model.extract_feat
    network = DeployedNetwork(model)
    assert onnx.compare(lambda clips: network(clips) + (len(clips) == 5),
                        tmp_path / 'net.onnx', CLIPS) > 1e-4
    with torch.no_grad():
        model.cls_head.fc8.bias[0] = np.nan
    assert np.isnan(onnx.compare(DeployedNetwork(model),
                                 tmp_path / 'net.onnx', CLIPS))


def test_the_commands(warm, tmp_path):
    train(warm, tmp_path, *OPTIONS)
    options = [option for option in OPTIONS if 'train' not in option]
    done = warm('tools/deployment/export_onnx.py', ROOT / CONFIG,
                'epoch_1.pth', 'net.onnx', *options, cwd=tmp_path)
    assert f'clips (batch, {str(SHAPE)[1:]}' in done.stdout
    metadata = onnxruntime.InferenceSession(
        str(tmp_path / 'net.onnx')).get_modelmeta().custom_metadata_map
    assert metadata['layout'] == 'nw-ucla'
    assert len(json.loads(metadata['classes'])) == 16
    joints = np.random.default_rng(0).normal(size=(45, 20, 3)).astype('f4')
    np.save(tmp_path / 'joints.npy', joints)
    np.savez(tmp_path / 'joints.npz', keypoint=joints[..., :2],
             keypoint_score=joints[..., 2])
    assert np.array_equal(SCRIPT.read(tmp_path / 'joints.npz'), joints)
    # an option changes the shape
    warm('tools/deployment/export_onnx.py', ROOT / CONFIG, 'epoch_1.pth',
         'short.onnx', *options, CLIP_LEN, cwd=tmp_path)
    for file, recording, more in (('net.onnx', 'joints.npy', []),
                                  ('short.onnx', 'joints.npy', [CLIP_LEN])):
        done = call(sys.executable, ROOT / 'docs/guides/run_onnx.py', file,
                    recording, cwd=tmp_path)
        expected = SkeletonInferencer(
            load_config(ROOT / CONFIG, options[1:] + more), str(
                tmp_path / 'epoch_1.pth'))(joints)['predictions'][0]['top']
        assert done.stdout.splitlines() == [
            f'{one["score"]:.4f} {one["class_name"]}' for one in expected]
    (tmp_path / 'joints.csv').write_text('1,2,3')
    for files, status in (
            ('', 2), ('net.onnx none.npy', 1), ('net.onnx joints.csv', 1),
            ('none.onnx joints.npy', 1), ('net.onnx joints.npy 9', 2),
            ('net.onnx joints.npz', 1)):  # a confidence in place of z
        done = warm('docs/guides/run_onnx.py', *files.split(), cwd=tmp_path,
                    status=status)
        assert re.search('error: .*\n$', done.stderr)
    done = warm('tools/deployment/export_onnx.py', ROOT / CONFIG,
                'epoch_1.pth', 'net.pb', *options, cwd=tmp_path, status=2)
    assert '*.onnx' in done.stderr
