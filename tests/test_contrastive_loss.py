import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.stdcl.models import CrossSequenceContrastiveLoss, MemoryBank
from projects.stdcl.models.losses import (
    cross_sequence_contrastive_loss as contrastive_loss,
)
from tests.twins import contrastive_loss as twin
from tests.watch import Watch


def make_bank(slots=60, classes=4, filled=1.0, dim=16):
    features = F.normalize(torch.randn(slots, dim), dim=1)
    labels = torch.randint(classes, (slots, ))
    labels[torch.rand(slots) >= filled] = -1
    return features, labels


def make_anchors(bank, batch=8, dim=16):
    """Make anchors of sequences that have filled slots in the bank."""
    own = (bank[1] >= 0).nonzero().flatten()
    own = own[torch.randperm(len(own))[:batch]]
    anchors = F.normalize(torch.randn(len(own), dim), dim=1)
    return anchors, bank[1][own], own


def draws_of(loss, labels, bank_labels, class_size=None):
    """Make the loss reuse one random draw, and return the drawn slots."""
    slots, drawn = loss._random_negatives(
        labels, bank_labels[None], class_size or len(bank_labels))
    loss._random_negatives = lambda *_: (slots, drawn)
    return [row[keep] for row, keep in zip(slots[0], drawn[0])]


@pytest.mark.parametrize('name', ['contrast_loss', 'contrast_loss_hard'])
def test_golden(reference, name):
    golden = np.load(reference / 'golden' / f'{name}.npz')
    labels = torch.tensor(golden['labels'])
    filled = torch.tensor(golden['filled']) if 'filled' in golden \
        else torch.ones(len(labels), dtype=torch.bool)
    bank = MemoryBank(golden['bank_before'].shape[1])
    bank.resize(len(labels))
    bank.features.copy_(torch.tensor(golden['bank_before']))
    bank.labels.copy_(labels.where(filled, torch.tensor(-1)))
    loss = CrossSequenceContrastiveLoss(
        int(golden['num_positives']), int(golden['num_negatives']),
        float(golden['temperature']))

    for step, slots in enumerate(torch.tensor(golden['idx'])):
        if 'random_negatives' in golden:
            drawn = torch.tensor(golden['random_negatives'][step])[None]
            loss._random_negatives = lambda *_, drawn=drawn: (
                drawn, torch.ones_like(drawn, dtype=torch.bool))
        features = torch.tensor(golden['features'][step], requires_grad=True)
        anchors = F.normalize(features, dim=1)
        bank.update(anchors.detach(), labels[slots], slots)
        value, share = loss(anchors, labels[slots], slots, bank.features,
                            bank.labels)
        value.backward()
        assert share == 1
        assert value.item() == pytest.approx(golden['loss'][step], abs=1e-5)
        np.testing.assert_allclose(features.grad, golden['grad'][step],
                                   atol=1e-5)
        np.testing.assert_allclose(bank.features, golden['bank_after'][step],
                                   atol=1e-5)


@st.composite
def cases(draw):
    """Draw a bank and anchors of arbitrary size and content."""
    slots, dim = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    classes, batch = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def integers(high, size):
        return torch.randint(high, (size, ), generator=generator)

    features = F.normalize(torch.randn(slots, dim, generator=generator), dim=1)
    if draw(st.booleans()):  # draw from few features, so that some are equal
        features = features[integers(max(1, slots // 4), slots)]
    labels = integers(classes, slots)
    filled = draw(st.sampled_from([0., 0.3, 1.]))
    labels[torch.rand(slots, generator=generator) >= filled] = -1
    own = integers(slots, batch)  # a batch may contain duplicates
    anchor_labels = integers(classes, batch)  # often not that of its slot
    anchors = F.normalize(torch.randn(batch, dim, generator=generator), dim=1)
    if draw(st.booleans()):
        anchors[integers(batch, 1)] = 0  # zero vectors
    limits = draw(st.sampled_from([1, 3, 64])), draw(
        st.sampled_from([1, 4, 64]))
    return anchors, anchor_labels, own, features, labels, limits


@pytest.mark.parametrize('large', [59, 60])
def test_a_subclass_may_change_the_loss(large, monkeypatch):

    class Double(CrossSequenceContrastiveLoss):

        def forward(self, *args):
            return 2 * super().forward(*args)[0], None

    monkeypatch.setattr(contrastive_loss, 'LARGE_BANK', large)
    features, labels = make_bank()
    banks = (torch.arange(8).expand(2, 8), [features] * 2,
             labels.expand(2, 60), 60)
    anchors = features[:8].expand(2, 8, -1)
    once, twice = (kind(99, 99)(anchors, labels[:8], *banks)[0]
                   for kind in (CrossSequenceContrastiveLoss, Double))
    assert torch.equal(twice, 2 * once)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(cases(), st.sampled_from([torch.float32, torch.float16]),
       st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
       st.sampled_from([0.07, 0.8]),
       st.sampled_from([('hard', 'random'), ('hard', ), ('random', )]),
       st.booleans())
def test_equals_the_published_loop(
        case, bank_dtype, anchor_dtype, temperature, negatives, count):
    anchors, labels, own, features, bank_labels, limits = case
    features, anchors = features.to(bank_dtype), anchors.to(anchor_dtype)
    loss = CrossSequenceContrastiveLoss(*limits, temperature, negatives)
    class_size = (bank_labels.unique(return_counts=True)[1].max().item()
                  if count else None)
    drawn = draws_of(loss, labels, bank_labels, class_size)
    for label, row in zip(labels, drawn):  # if there are too few, all are used
        is_other = (bank_labels >= 0) & (bank_labels != label)
        assert is_other[row].all() and len(row) == len(row.unique()) == min(
            limits[1], is_other.sum())
    ours, theirs = (anchors.clone().requires_grad_() for _ in range(2))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrastive_loss, 'CPU_BLOCK', 13)  # use several blocks
        value, share = loss(ours, labels, own, features, bank_labels,
                            class_size)
        value.backward()
    expected, expected_share = twin.contrastive_loss(
        theirs.float(), labels, own, features.float(), bank_labels, *limits,
        temperature, drawn, negatives)
    expected.backward()

    assert value.dtype == torch.float32 and value.isfinite()
    assert share.item() == pytest.approx(expected_share)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    rounding = torch.finfo(anchor_dtype).eps
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5 + rounding,
                               rtol=1e-4 + rounding)


@pytest.mark.parametrize('dtype, large', [
    (torch.float32, 60), (torch.float16, 60), (torch.float32, 59)])
def test_several_banks_in_one_call(dtype, large, monkeypatch):
    """One call for two banks with 60 slots equals one call for each bank."""
    monkeypatch.setattr(contrastive_loss, 'LARGE_BANK', large)
    loss = CrossSequenceContrastiveLoss(99, 99, temperature=0.3)
    banks = [(features.to(dtype), labels) for features, labels in (
        make_bank(filled=0.7) for _ in range(2))]
    anchors = F.normalize(torch.randn(2, 8, 16), dim=2).requires_grad_()
    labels, own = torch.randint(4, (8, )), torch.randint(60, (2, 8))
    values, shares = loss(anchors, labels, own, [bank[0] for bank in banks],
                          torch.stack([bank[1] for bank in banks]))
    (values * torch.tensor([1., 3.])).sum().backward()
    for i, weight in enumerate((1, 3)):
        single = anchors[i].detach().requires_grad_()
        value, share = loss(single, labels, own[i], *banks[i])
        (weight * value).backward()
        assert share == shares[i]
        torch.testing.assert_close(value, values[i])
        torch.testing.assert_close(single.grad, anchors.grad[i])


@pytest.mark.parametrize('slots', [300, 5])
@pytest.mark.parametrize('fault', [float('nan'), float('inf')])
def test_nonfinite_anchor_makes_the_loss_nan(slots, fault):
    # with five slots, an anchor may have fewer than P = 2 positives
    bank = make_bank(slots, classes=2)
    anchors, labels, own = make_anchors(bank, 3)
    anchors[0, 3] = fault
    value, _ = CrossSequenceContrastiveLoss(2, 2)(anchors, labels, own, *bank)
    assert not value.isfinite()


def test_a_class_with_too_many_slots_makes_the_loss_nan():
    labels = torch.tensor([0, 0, 0, 1, 1, -1])
    anchors, features = (F.normalize(torch.randn(size, 4), dim=1)
                         for size in (1, 6))
    for class_size, label, valid in ((3, 0, True), (2, 0, False),
                                     (2, 1, True), (6, 0, True)):
        value, _ = CrossSequenceContrastiveLoss()(
            anchors, torch.tensor([label]), torch.tensor([3 * label]),
            features, labels, class_size)
        assert value.isfinite() == valid


def test_float32_under_autocast():
    bank = make_bank()
    anchors, labels, own = make_anchors(bank)
    loss = CrossSequenceContrastiveLoss()
    draws_of(loss, labels, bank[1])
    expected, _ = loss(anchors, labels, own, *bank)
    with torch.autocast('cpu', torch.bfloat16):
        value, _ = loss(anchors, labels, own, *bank)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


def test_random_negatives_are_drawn_without_replacement():
    _, labels = make_bank(slots=200, classes=4, filled=0.7)
    anchors = torch.tensor([0, 1, 2, 3])
    loss = CrossSequenceContrastiveLoss(num_negatives=20)
    counts = torch.zeros(4, 200)
    for _ in range(500):
        slots, drawn = loss._random_negatives(
            anchors, labels[None], len(labels))
        step = torch.zeros(4, 200).scatter_add_(1, slots[0], drawn[0].float())
        counts += step
    for anchor, count in zip(anchors, counts):
        negative = (labels >= 0) & (labels != anchor)
        assert count[~negative].sum() == 0
        expected = 500 * 20 / negative.sum()  # about 95 ± 9
        assert (count[negative] - expected).abs().max() < 6 * expected**0.5


@pytest.mark.parametrize('limit', [1, 3, 20, 130])
@pytest.mark.parametrize('size', [130, 1003])
def test_largest_values_equal_those_of_topk(size, limit):
    values = torch.randn(2, 5, size)
    values[:, 1:3] = values[:, 1:3].round()  # ties
    values[:, 2:4][torch.rand(2, 2, size) < 0.9] = -float('inf')
    values[:, 4] = values[:, 4].sort().values
    best, columns = contrastive_loss._top(values, limit)
    assert torch.equal(values.gather(-1, columns), best)
    assert all(len(row.unique()) == limit for row in columns.flatten(0, 1))
    torch.testing.assert_close(
        best.sort().values, values.topk(limit).values.sort().values, rtol=0,
        atol=0)


def test_table_of_logits_is_never_built(monkeypatch):
    """Of two large banks, only one at a time has similarities."""
    slots, batch, positives, negatives = 2000, 16, 128, 512
    bank = make_bank(slots)
    anchors, labels, own = make_anchors(bank, batch)
    anchors = anchors.repeat(2, 1, 1).requires_grad_()
    monkeypatch.setattr(contrastive_loss, 'LARGE_BANK', slots - 1)
    with Watch() as watch:
        CrossSequenceContrastiveLoss(positives, negatives)(
            anchors, labels, own.repeat(2, 1), [bank[0]] * 2,
            bank[1].repeat(2, 1))[0].sum().backward()
    assert max(one.shape.numel() for one in watch.results) <= batch * max(
        slots, positives + 2 * negatives)


def test_half_precision_bank_is_never_copied_to_float32():
    slots, batch, dim = 40000, 3, 64
    features, labels = make_bank(slots, dim=dim)
    bank = features.half(), labels
    anchors, labels, own = make_anchors(bank, batch, dim)
    with Watch() as watch:
        CrossSequenceContrastiveLoss()(
            anchors.requires_grad_(), labels, own, *bank)[0].backward()
    assert max(one.shape.numel() for one in watch.results
               if one.dtype == torch.float32
               ) <= contrastive_loss.CPU_BLOCK * dim
    assert contrastive_loss.CPU_BLOCK * dim < slots * dim / 4


@pytest.mark.parametrize('wrong', [
    dict(num_positives=0), dict(num_negatives=-1), dict(num_positives=2.5),
    dict(num_negatives='8'), dict(temperature=0), dict(temperature='0.8'),
    dict(temperature=float('nan')), dict(temperature=float('inf')),
    dict(negatives=('hard', 'easy')), dict(negatives=())])
def test_invalid_numbers_raise(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CrossSequenceContrastiveLoss(**wrong)
