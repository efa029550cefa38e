"""Features of a data set, and measures of class separation."""
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.dataset import pseudo_collate

from projects.stdcl.apis import load_model
from projects.stdcl.datasets.data_description import describe
from projects.stdcl.evaluation.features import _decouple, measure
from projects.stdcl.utils.config_check import load_config
from tests.commands import ROOT, TINY, attentive_config

TOOL = 'tools/analysis/extract_features.py'


def test_measures_equal_loops_over_pairs():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(30, 4))
    labels = generator.integers(0, 3, 30)

    def distance(i, j):
        a, b = features[i], features[j]
        return 1 - a @ b / np.sqrt((a @ a) * (b @ b))

    intra, inter, silhouettes, hits = [], [], [], []
    for i in range(30):
        others = [j for j in range(30) if j != i]
        by_class = {label: [distance(i, j) for j in others
                            if labels[j] == label] for label in range(3)}
        own = by_class.pop(labels[i])
        intra += own
        inter += sum(by_class.values(), [])
        a, b = np.mean(own), min(map(np.mean, by_class.values()))
        silhouettes.append((b - a) / max(a, b))
        others.sort(key=lambda j, i=i: distance(i, j))
        hits.append(labels[others[:5]] == labels[i])
    assert measure(features, labels) == pytest.approx({
        'intra': np.mean(intra), 'inter': np.mean(inter),
        'silhouette': np.mean(silhouettes), 'precision@5': np.mean(hits),
        'precision@1': np.mean(hits, axis=0)[0]})


def test_attention_to_an_earlier_block(tmp_path):
    cfg = load_config(attentive_config(tmp_path))
    cfg.model.contrast_block = 8
    model = MODELS.build(cfg.model).eval()
    seen = {}
    model.backbone.gcn[7].register_forward_hook(
        lambda module, inputs, output: seen.update(maps=output))
    with torch.no_grad():
        feats = model.backbone(torch.rand(3, *cfg.clip_shape))
        found = _decouple(model.cls_head, feats)
        for name, branch, dim in (('joints', 'spatial', 2),
                                  ('frames', 'temporal', 3)):
            expected = getattr(model.cls_head.decoupler, branch).attention(
                seen['maps'].mean(dim=dim))[:, 0]
            torch.testing.assert_close(found[f'attention_{name}'][:, 0],
                                       expected)
        model.cls_head.decoupler.spatial = torch.nn.Flatten()
        assert set(_decouple(model.cls_head, feats)) == {
            'spatial', 'temporal', 'attention_frames'}


def test_the_command(warm, tmp_path):
    options = [option for option in TINY if 'train' not in option]
    options.append('test_dataloader.dataset.pipeline.1.num_clips=2')
    config = attentive_config(tmp_path)
    cfg = load_config(config, options)
    model = MODELS.build(cfg.model)
    seen = DATASETS.build(dict(cfg.test_dataloader.dataset, split='train'))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        trained_on=describe(model, seen))), tmp_path / 'epoch_1.pth')
    warm(TOOL, config, 'epoch_1.pth', 'features.npz', '--cfg-options',
         *options, 'test_dataloader.sampler.shuffle=True', cwd=tmp_path)
    found = dict(np.load(tmp_path / 'features.npz'))
    assert len(found['classes']) == 16
    assert len(set(found['names'])) == 32
    np.testing.assert_allclose(found['attention_joints'].sum(axis=2), 1,
                               rtol=1e-5)
    assert found['attention_frames'].shape[:2] == (32, 1)
    np.testing.assert_allclose(found['attention_frames'].sum(axis=2), 1,
                               rtol=1e-5)

    model = load_model(cfg, str(tmp_path / 'epoch_1.pth'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    for index in (0, 31):  # one sequence at a time
        sample = dataset[index]
        with torch.no_grad():
            expected, = model.test_step(pseudo_collate([sample]))
            feats = model.backbone(sample['inputs'].float())  # (1, M, C, T, V)
            spatial, temporal = model.cls_head.decoupler(feats)
        assert found['labels'][index] == int(sample['data_samples'].gt_label)
        assert found['predictions'][index] == int(expected.pred_label)
        for name, one in [('global_', feats.mean(dim=(1, 3, 4))),
                          ('spatial', spatial), ('temporal', temporal)]:
            np.testing.assert_allclose(found[name][index],
                                       one.mean(dim=0).numpy(), atol=1e-5)

    # the plain network has no decoupler
    done = warm(TOOL, ROOT / 'configs/stgcn/stgcn_synthetic.py',
                'epoch_1.pth', 'plain.npz', '--cfg-options', *options,
                'model.cls_head.average_clips=None', cwd=tmp_path)
    assert 'training sequence' not in done.stdout
    plain = dict(np.load(tmp_path / 'plain.npz'))
    assert set(plain) == {'names', 'labels', 'predictions', 'global_',
                          'classes'}
    for name in 'global_', 'predictions':
        np.testing.assert_allclose(plain[name], found[name], atol=1e-6)

    # the test set may contain training sequences
    done = warm(TOOL, config, 'epoch_1.pth', 'seen.npz', '--cfg-options',
                *options, 'test_dataloader.dataset.split=train', cwd=tmp_path)
    assert done.stdout.count('32 of 32 sequences have the name and label') == 1
