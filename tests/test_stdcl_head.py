"""The head with STD-CL in a recognizer, in training and testing."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from projects.stdcl.models import MemoryBank, STDCLMixin
from projects.stdcl.utils.input_error import InputError
from tests.twins import contrastive_loss as twin

STDCL = dict(
    type='STDCLHead',
    decoupler=dict(type='AttentiveDecoupler', out_channels=256),
    memory_bank=dict(type='MemoryBank'),
    loss_contrast=dict(type='CrossSequenceContrastiveLoss'))
SMALL = dict(in_channels=32, num_classes=4)
ENCODERS = dict(
    stgcn=dict(type='STGCN', base_channels=8, graph_cfg=dict(
        layout='nw-ucla', mode='stgcn_spatial')),
    agcn=dict(type='AAGCN', base_channels=8, gcn_attention=False,
              graph_cfg=dict(layout='nw-ucla', mode='spatial')))


def build(encoder='stgcn', head=STDCL, slots=10, **kwargs):
    head = {**SMALL, **head, **kwargs}
    model = MODELS.build(dict(type='RecognizerGCN', cls_head=head,
                              backbone=ENCODERS[encoder]))
    model.init_weights()
    if 'decoupler' in head:
        model.cls_head.resize_banks(slots)
    return model


def batch(indices=range(6), persons=2, frames=20):
    samples = [ActionDataSample(metainfo=dict(sample_idx=index)).set_gt_label(
        index % 4) for index in indices]
    return torch.randn(len(samples), 1, persons, frames, 20, 3), samples


@pytest.mark.parametrize('encoder', ENCODERS)
@pytest.mark.parametrize('frames', [20, 33])
def test_trains_encoder_and_decoupler(encoder, frames):
    model = build(encoder)
    losses = model(*batch(frames=frames), mode='loss')
    assert set(losses) == {'top1_acc', 'top5_acc', 'loss_cls', 'loss_spatial',
                           'loss_temporal', 'anchor_share'}
    # classes 0 and 1 have two sequences each; classes 2 and 3 have one each
    assert losses['anchor_share'].item() == pytest.approx(4 / 6)
    (losses['loss_spatial'] + losses['loss_temporal']).backward()
    for name, parameter in model.named_parameters():
        expected = not name.startswith('cls_head.fc')
        assert (parameter.grad is not None) == expected, name
    for bank in (model.cls_head.spatial_bank, model.cls_head.temporal_bank):
        assert (bank.labels >= 0).sum() == 6


def test_contrast_equals_the_twin():
    head = build(spatial_weight=2., temporal_weight=3.).cls_head
    indices = torch.tensor([0, 4, 8, 1, 5, 0])  # one sequence twice
    vectors = torch.randn(2, 6, 256)
    vectors[0, 3] = 0  # the banks differ in their labels, too
    head.decoupler.forward = lambda feats: tuple(vectors)
    losses = head.contrast(torch.zeros(6, 1), indices % 4, indices)
    for name, weight, own in zip(('spatial', 'temporal'), (2, 3),
                                 F.normalize(vectors, dim=2)):
        bank = getattr(head, f'{name}_bank')
        torch.testing.assert_close(bank.features[[4, 0]], torch.stack(
            [own[1], F.normalize(own[0] + own[5], dim=0)]))
        expected, share = twin.contrastive_loss(
            own, indices % 4, indices, bank.features, bank.labels, 128, 512,
            head.loss_contrast.temperature)
        torch.testing.assert_close(losses[f'loss_{name}'], weight * expected)
    assert losses['anchor_share'].item() == pytest.approx(share)


def test_the_decoupler_has_its_own_initialization():
    # GCNHead initializes its linear layers, which must exclude the decoupler
    linear = build().cls_head.decoupler.spatial.project
    assert linear.weight.std().item() == pytest.approx((2 / 256)**.5, rel=.05)


def test_mixin_works_with_any_head_bank_and_loss():
    """Own banks and losses may omit ``class_size``."""

    class TwoSlots(MemoryBank):

        def resize(self, num_sequences, num_classes):
            super().resize(2 * num_sequences, num_classes)

    class CountLoss(torch.nn.Module):

        def forward(self, anchors, labels, own_slots, features, bank_labels):
            return (bank_labels >= 0).sum(dim=1), torch.ones(2)

    class TinyHead(BaseHead):

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.classifier = torch.nn.Linear(self.in_channels,
                                              self.num_classes)

        def init_weights(self):  # as in I3DHead
            torch.nn.init.zeros_(self.classifier.weight)

        def forward(self, x, **kwargs):
            return self.classifier(x.mean(dim=(1, 3, 4)))

    class TinySTDCLHead(STDCLMixin, TinyHead):
        pass

    parts = {k: v for k, v in STDCL.items() if k != 'type'}
    head = TinySTDCLHead(**SMALL, **parts, spatial_weight=0.5)
    head.init_weights()
    assert head.decoupler.spatial.project.bias.abs().sum() == 0
    head.resize_banks(10)
    data = torch.randn(6, 1, 32, 5, 20), batch()[1]
    assert head.loss(*data)['loss_spatial'] > 0
    head.spatial_bank, head.temporal_bank = TwoSlots(), TwoSlots()
    head.resize_banks(10, class_size=1)
    assert head.loss(*data)['loss_spatial'] > 0
    head.loss_contrast = CountLoss()
    head.resize_banks(10, class_size=2)
    assert len(head.spatial_bank) == 20
    assert head.loss(*data)['loss_spatial'] == 6 / 2
    TinyHead.loss = lambda *_: dict(loss_spatial=torch.zeros(()))
    with pytest.raises(InputError, match='loss_spatial.*expected other names'):
        head.loss(*data)


@pytest.mark.parametrize('encoder', ENCODERS)
def test_inference_equals_the_plain_head(encoder, monkeypatch):
    """At test time, STD-CL changes neither the logits nor the parameters."""
    model = build(encoder).eval()
    plain = build(encoder, head=dict(type='GCNHead')).eval()
    missing, unexpected = plain.load_state_dict(model.state_dict(),
                                                strict=False)
    assert not missing
    assert all(name.startswith(('cls_head.decoupler', 'cls_head.spatial_bank',
                                'cls_head.temporal_bank'))
               for name in unexpected)
    for part in (model.cls_head.decoupler, model.cls_head.loss_contrast):
        monkeypatch.setattr(part, 'forward',
                            lambda *_: pytest.fail('STD-CL ran'))
    inputs, samples = batch()
    assert torch.equal(model(inputs, stage='head'),
                       plain(inputs, stage='head'))
    predictions = model(inputs, copy.deepcopy(samples), mode='predict')
    expected = plain(inputs, copy.deepcopy(samples), mode='predict')
    for ours, theirs in zip(predictions, expected):
        assert torch.equal(ours.pred_score, theirs.pred_score)


def test_banks_follow_the_decoupler():
    decoupler = dict(type='AttentiveDecoupler', out_channels=12)
    bank = dict(type='MemoryBank')
    model = build(decoupler=decoupler, memory_bank=bank)
    assert model(*batch(), mode='loss')['loss_spatial'] > 0


@pytest.mark.parametrize('value', [0, 1e-9])
def test_zero_vector_does_not_contribute(value):
    model, (inputs, samples) = build(), batch([0, 4, 8, 1, 5, 9])
    model(inputs, samples, mode='loss')
    bank = model.cls_head.spatial_bank
    assert bank.labels[0] == 0
    keep = torch.tensor([0] + [1] * 5)[:, None]  # all but the first sequence
    model.cls_head.decoupler.register_forward_hook(
        lambda module, args, output: tuple(
            vector * keep + value * (1 - keep) for vector in output))
    losses = model(inputs, samples, mode='loss')
    assert losses['anchor_share'].item() == pytest.approx(5 / 6)
    assert bank.labels[0] == -1 and (bank.labels >= 0).sum() == 5
    (losses['loss_spatial'] + losses['loss_temporal']).backward()
    gradients = [p.grad for p in model.cls_head.decoupler.parameters()]
    assert all(g.isfinite().all() and g.abs().max() < 100 for g in gradients)
    assert any(g.any() for g in gradients)


def test_overflow_shows_in_both_losses():
    model, (inputs, samples) = build(), batch([0, 4, 8, 1, 5, 9])
    model.eval()  # in training, batch norm would spread the overflow
    spoiled = inputs.clone()
    spoiled[0] = torch.inf
    losses = model(spoiled, samples, mode='loss')
    assert not losses['loss_spatial'].isfinite()
    assert not losses['loss_temporal'].isfinite()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_contrasted_in_float32(dtype):
    """On a GPU, autocast makes decouplers return half-precision vectors."""
    head = build().cls_head
    vectors = torch.randn(2, 6, 16).to(dtype)
    results = []
    for some in (vectors, vectors.float()):
        some.requires_grad_()
        head.decoupler.forward = lambda feats, some=some: tuple(some)
        head.spatial_bank = MemoryBank(16)
        head.temporal_bank = MemoryBank(16)
        head.resize_banks(10)
        torch.manual_seed(0)
        losses = head.contrast(torch.zeros(6, 1), torch.arange(6) % 4,
                               torch.arange(6))
        total = losses['loss_spatial'] + losses['loss_temporal']
        assert total.dtype == head.spatial_bank.features.dtype == torch.float32
        (2**16 * total).backward()  # AMP's initial scale
        results.append((total.detach(), some.grad))
    (total, gradient), (expected, expected_gradient) = results
    assert torch.equal(total, expected)
    assert torch.equal(gradient, expected_gradient.to(dtype))
    assert gradient.isfinite().all() and gradient.any()


def test_soft_labels_raise():
    inputs, samples = batch()
    for sample in samples:
        sample.set_gt_label(torch.rand(4))
    with pytest.raises(ValueError, match='gt_label has 4 values'):
        build()(inputs, samples, mode='loss')


def test_losses_of_a_validation_set_have_no_contrast():
    model, (inputs, samples) = build().eval(), batch()
    for sample in samples:
        sample.gt_label = sample.gt_label[0]  # a label may have no axis
    assert 'loss_spatial' in model(inputs, samples, mode='loss')
    _ = [sample.pop('sample_idx') for sample in samples]
    assert 'loss_spatial' not in model(inputs, samples, mode='loss')


def test_missing_index_and_missing_slots_raise():
    inputs, samples = batch()
    with pytest.raises(InputError, match='MemoryBankHook'):
        build(slots=0)(inputs, samples, mode='loss')
    with pytest.raises(InputError, match='sample_idx'):
        build()(inputs, [ActionDataSample().set_gt_label(0)] * 6, mode='loss')
    samples[2].set_metainfo(dict(sample_idx=None))
    with pytest.raises(InputError, match='sample_idx'):
        build()(inputs, samples, mode='loss')


@pytest.mark.parametrize('backbone', [
    ENCODERS['stgcn'], ENCODERS['agcn'],
    dict(type='CTRGCN', layout='nw-ucla', base_channels=8)],
    ids=lambda backbone: backbone['type'])
def test_contrast_of_an_earlier_block(backbone):
    model = MODELS.build(dict(
        type='STDCLRecognizer', clip_shape=(2, 20, 20, 3), contrast_block=8,
        backbone=backbone, cls_head={
            **STDCL, **SMALL, 'decoupler': dict(type='ProjectionDecoupler')}))
    model.init_weights()
    model.cls_head.resize_banks(10)
    copied = copy.deepcopy(model)
    seen = {}
    copied.cls_head.decoupler.register_forward_hook(
        lambda module, inputs, output: seen.update(x=inputs[0]))
    blocks = getattr(copied.backbone, 'blocks', None) or copied.backbone.gcn
    blocks[7].register_forward_hook(
        lambda module, inputs, output: seen.update(block=output.clone()))
    inputs, samples = batch()
    feats, _ = copied.extract_feat(inputs)
    copied.extract_feat(inputs + 1)  # another view, as in consistency losses
    copied.cls_head.loss(feats, samples)
    assert not seen['block'].equal(seen['x'].flatten(0, 1))
    losses = copied(inputs, samples, mode='loss')
    expected = seen['block'].unflatten(0, (6, 2))
    assert seen['x'].shape[3:] == (5, 20)  # frames, joints
    assert torch.equal(seen['x'], expected if expected.shape[3] == 5
                       else expected.transpose(3, 4))
    (losses['loss_spatial'] + losses['loss_temporal']).backward()
    assert all(parameter.grad is None
               for block in blocks[8:] for parameter in block.parameters())
    assert all(parameter.grad is not None
               for parameter in blocks[7].parameters())
    copy.deepcopy(copied)  # for a moving average, after any step
    blocks[7].register_forward_hook(lambda module, inputs, output: setattr(
        copied, 'block_output', output.detach()))
    with pytest.raises(InputError, match='contrast_block has no gradient'):
        copied(inputs, samples, mode='loss')
    copied(*batch(), mode='predict')
    assert copied.block_output is None


@pytest.mark.parametrize('encoder, number, message', [
    ('stgcn', 0, 'block is 0'), ('stgcn', 11, '10 blocks'),
    ('stgcn', '8', "block is '8'"), ('stgcn', 8.0, 'block is 8.0'),
    ('stgcn', 4, 'decoupler fails: .* set in_channels'), ('hcn', 3, '2 bl')])
def test_block_that_cannot_be_contrasted_raises(encoder, number, message):
    encoder = ENCODERS.get(encoder, dict(type='HCN', layout='nw-ucla'))
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(
            type='STDCLRecognizer', clip_shape=(2, 64, 20, 3),
            contrast_block=number, backbone=encoder,
            cls_head={**STDCL, **SMALL}))
