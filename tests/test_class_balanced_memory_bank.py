"""The class-balanced bank equals a twin that stores its slots in lists."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projects.stdcl.models import ClassBalancedMemoryBank
from tests.test_memory_bank import update

DIM = 4


class ObviousBank:
    """Bank with a list of slots for each class, updated row by row."""

    def __init__(self, num_classes, slots_per_class):
        self.classes = [[None] * slots_per_class for _ in range(num_classes)]

    def update(self, features, labels, indices):
        now = 1 + max((entry['step'] for entry in self.slots() if entry),
                      default=0)
        seen = {}  # sequence -> (class, rows), in order of first appearance
        for feature, label, index in zip(features, labels.tolist(),
                                         indices.tolist()):
            seen.setdefault(index, (label, []))[1].append(feature)
        touched, newcomers = set(), []
        for index, (label, rows) in seen.items():
            total = sum(row for row in rows if row.isfinite().all())
            whole = isinstance(total, torch.Tensor) and total.norm() > 1e-6
            entry = whole and dict(index=index, step=now,
                                   feature=F.normalize(total, dim=0))
            held = [slot for slot, old in enumerate(self.classes[label])
                    if old and old['index'] == index]
            if held:
                self.classes[label][held[0]] = entry or None
                touched.add((label, held[0]))
            elif entry:
                newcomers.append((label, entry))
        for label, entry in newcomers:
            slots = self.classes[label]
            free = [slot for slot in range(len(slots))
                    if (label, slot) not in touched]
            if free:
                oldest = min(free, key=lambda slot: (
                    slots[slot]['step'] if slots[slot] else 0, slot))
                slots[oldest] = entry
                touched.add((label, oldest))

    def slots(self):
        return [entry for slots in self.classes for entry in slots]


def make_bank(num_classes=3, slots_per_class=2, dim=DIM, **kwargs):
    bank = ClassBalancedMemoryBank(dim, slots_per_class=slots_per_class,
                                   **kwargs)
    bank.resize(10**9, num_classes)  # must not allocate a slot per sequence
    return bank


def check(bank, twin):
    assert len(bank) == len(twin.slots())
    label_of_slot = [label for label, slots in enumerate(twin.classes)
                     for _ in slots]
    for slot, entry in enumerate(twin.slots()):
        if entry is None:
            assert bank.labels[slot] == bank.indices[slot] == -1
            assert bank.written[slot] == 0 and not bank.features[slot].any()
        else:
            assert bank.labels[slot] == label_of_slot[slot]
            assert bank.indices[slot] == entry['index']
            assert bank.written[slot] == entry['step']
            torch.testing.assert_close(bank.features[slot], entry['feature'])


FAULTS = st.sampled_from([None] * 6 + [0., float('nan'), float('inf')])
STEPS = st.lists(st.lists(st.tuples(
    st.sampled_from([*range(11), 10**9 + 1]), FAULTS), min_size=1, max_size=9),
    min_size=1, max_size=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(STEPS, st.integers(1, 3), st.integers(1, 5))
@example([[(i, None) for i in range(9)]] * 2, 1, 2)  # too few slots
@example([[(0, None), (1, None)], [(2, None), (0, 0.), (0, 0.)],
          [(3, float('nan'))]], 1, 1)
def test_equals_the_twin(steps, num_classes, slots_per_class):
    bank = make_bank(num_classes, slots_per_class)
    twin = ObviousBank(num_classes, slots_per_class)
    generator = torch.Generator().manual_seed(0)
    for step in steps:
        indices = torch.tensor([index for index, _ in step])
        features = F.normalize(torch.randn(len(step), DIM,
                                           generator=generator), dim=1)
        for row, (_, fault) in enumerate(step):
            if fault is not None:
                features[row, :] = fault
        labels = indices % num_classes
        slots = update(bank, features, labels, indices)
        twin.update(features, labels, indices)
        check(bank, twin)
        # the slot of a row holds its sequence, or one of a different class
        assert all(bank.indices[slot] == index or bank.labels[slot] != label
                   or num_classes == 1
                   for slot, label, index in zip(slots, labels, indices))


@pytest.mark.parametrize('argument, message', [
    (dict(slots_per_class=0), 'slots_per_class is 0, expected'),
    (dict(dtype='bfloat16'), "dtype is 'bfloat16', expected one of float32, "
     'float16')])
def test_invalid_arguments_raise(argument, message):
    with pytest.raises(ValueError, match=f'BalancedMemoryBank: {message}'):
        make_bank(**argument)
