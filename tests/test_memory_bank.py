import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict

from projects.stdcl.models import MemoryBank
from projects.stdcl.models.memory_banks.memory_bank import merge_sequences
from projects.stdcl.models.unit_vectors import unit_vectors


def make_bank(slots=6, dim=4, **kwargs):
    bank = MemoryBank(dim, **kwargs)
    bank.resize(slots)
    return bank


def update(bank, features, labels, indices):
    """Merge the rows of each sequence and write them, as the head does."""
    return bank.update(merge_sequences(unit_vectors(features), indices),
                       labels, indices)


def obvious_update(bank, features, labels, indices):
    """Update the bank in a loop over slots."""
    for slot in set(indices.tolist()):
        rows = features[indices == slot]
        bank.features[slot] = F.normalize(rows.mean(dim=0), dim=0)
        bank.labels[slot] = labels[indices == slot][0]


def test_update_equals_the_twin():
    bank, twin = make_bank(50, 8), make_bank(50, 8)
    for _ in range(10):
        indices = torch.randint(50, (24, ))  # with duplicates
        labels = indices % 5
        features = F.normalize(torch.randn(24, 8), dim=1)
        update(bank, features, labels, indices)
        obvious_update(twin, features, labels, indices)
        torch.testing.assert_close(bank.features, twin.features)
        assert torch.equal(bank.labels, twin.labels)


def test_overflow_and_zero_features_empty_the_slot():
    bank = make_bank()
    features = F.normalize(torch.randn(4, 4), dim=1)
    slots = torch.tensor([0, 1, 2, 2])
    update(bank, features, slots, slots)
    spoiled = features.clone()
    spoiled[0, 1], spoiled[1], spoiled[2] = torch.nan, torch.inf, torch.nan
    update(bank, spoiled, slots, slots)
    assert bank.features.isfinite().all()
    # a sequence that also has a finite feature keeps its slot
    assert bank.labels[:3].tolist() == [-1, -1, 2]
    torch.testing.assert_close(bank.features[2], features[3])
    features[0] = 0  # like the mean of opposite features
    features[2] = 1e-7 - features[3]
    update(bank, features, slots, slots)
    assert bank.labels[:3].tolist() == [-1, 1, -1]
    assert not bank.features[[0, 2]].any()


def test_half_precision_halves_the_features():
    bank, expected = make_bank(dtype='float16'), make_bank()
    features = F.normalize(torch.randn(4, 4), dim=1)
    indices = torch.tensor([5, 0, 5, 1])
    for some in (bank, expected):
        update(some, features, indices.int(), indices)
    # duplicates are averaged before rounding
    assert torch.equal(bank.features, expected.features.half())
    assert torch.equal(bank.labels, expected.labels)


def test_autocast_does_not_round_features():
    bank, expected = make_bank(), make_bank()
    written = (F.normalize(torch.randn(3, 4), dim=1),
               torch.tensor([1, 0, 1]), torch.tensor([5, 2, 5]))
    update(expected, *written)
    with torch.autocast('cpu', torch.bfloat16):
        update(bank, *written)
    assert torch.equal(bank.features, expected.features)


@pytest.mark.parametrize('saved', [make_bank(7).state_dict(), {}])
def test_missing_or_mismatched_state_is_ignored(saved, capsys):
    bank = make_bank()
    load_state_dict(bank, dict(saved), strict=True)
    assert bank.labels.tolist() == [-1] * 6
    assert capsys.readouterr().out == ''


def test_moves_with_its_module():
    module = torch.nn.Sequential(make_bank()).to('meta')
    assert module[0].features.device.type == 'meta'
    assert module[0].labels.device.type == 'meta'
    assert not list(module.buffers()) and not list(module.parameters())
