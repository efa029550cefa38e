"""A memory bank with a fixed number of slots for each class."""
import torch
from mmaction.registry import MODELS

from ...utils.input_error import require_positive
from .memory_bank import EMPTY, MemoryBank


@MODELS.register_module()
class ClassBalancedMemoryBank(MemoryBank):
    """Memory bank that keeps the most recent sequences of each class.

    Use it for large training sets. The paper does not describe this bank.

    Class c owns the slots c * L to (c + 1) * L - 1. If a sequence has a slot,
    that slot is updated. Otherwise, the sequence takes the slot of its class
    that was written longest ago (in a tie, the one with the lowest index), but
    never one written in the same step, so surplus sequences get no slot.

    >>> bank = ClassBalancedMemoryBank(feat_dim=2, slots_per_class=2)
    >>> bank.resize(num_sequences=1000, num_classes=3)
    >>> slots = bank.update(torch.eye(2), labels=torch.tensor([1, 1]),
    ...                     indices=torch.tensor([900, 31]))
    >>> bank.indices
    tensor([ -1,  -1, 900,  31,  -1,  -1])

    Args:
        feat_dim, dtype: See :class:`MemoryBank`.
        slots_per_class (int): Number of slots L. Defaults to 256.

    Attributes:
        features, labels (Tensor): See :class:`MemoryBank`.
        indices (Tensor): Sequence in each slot, shape (S,); -1 if empty.
        written (Tensor): Number of the step that last wrote each slot, shape
            (S,). Steps count from 1; 0 marks a slot that no step has written.

    Raises:
        InputError: ``dtype`` is unknown, or ``slots_per_class`` is not a
            positive integer.
    """

    STATE = ('features', 'labels', 'indices', 'written')

    def __init__(self, feat_dim: int = 256, dtype: str = 'float32',
                 slots_per_class: int = 256) -> None:
        super().__init__(feat_dim, dtype)
        require_positive(type(self).__name__, slots_per_class=slots_per_class)
        self.slots_per_class = slots_per_class
        self.indices, self.written = self.labels.clone(), self.labels.clone()

    def resize(self, num_sequences: int, num_classes: int,
               class_size: int | None = None) -> None:
        """Give each class L empty slots; only ``num_classes`` counts."""
        super().resize(num_classes * self.slots_per_class,
                       class_size=self.slots_per_class)
        self.indices = torch.full_like(self.labels, EMPTY)
        self.written = torch.zeros_like(self.labels)

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Update the sequences that have a slot, and admit new ones.

        See :meth:`MemoryBank.update`. For a sequence that gets no slot, the
        result contains a slot of a different class.
        """
        # first row of each sequence, and rows that are not empty, both (B,)
        first = (indices[:, None] == indices).int().argmax(dim=1)
        filled = features.any(dim=1)
        now = self.written.max() + 1
        slots, has_slot = self._find_slots(labels, indices, first, filled, now)

        # several rows may write to one slot, so all of them write the same:
        # the vector of the slot's owner or, without an owner, the old content
        owns = (slots[:, None] == slots) & has_slot  # (B, B)
        owner, owned = owns.int().argmax(dim=1), owns.any(dim=1)
        for state, value in (
                (self.features, features.to(self.features.dtype)),
                (self.labels, labels.where(filled, EMPTY)),
                (self.indices, indices.where(filled, EMPTY)),
                (self.written, now * filled)):
            new = owned if value.dim() == 1 else owned[:, None]
            state[slots] = value[owner].where(new, state[slots])

        num_classes = len(self) // self.slots_per_class
        elsewhere = (labels + 1) % num_classes * self.slots_per_class
        return slots.where(has_slot, elsewhere)

    def _find_slots(self, labels, indices, first, filled, now):
        """Return each row's slot, and whether the row owns it, both (B,)."""
        slots = labels[:, None] * self.slots_per_class + torch.arange(
            self.slots_per_class, device=labels.device)  # (B, L)
        is_own = self.indices[slots] == indices[:, None]  # (B, L)
        held = is_own.any(dim=1)
        own = slots.gather(1, is_own.int().argmax(dim=1, keepdim=True))[:, 0]

        # slots that this step updates count as just written
        age = self.written.scatter_reduce(0, own, now * held, 'amax')[slots]
        oldest = slots.gather(1, age.argsort(dim=1, stable=True))  # (B, L)
        free = (age < now).sum(dim=1)

        # the n-th new sequence of a class gets the n-th oldest slot
        new = filled & ~held
        is_first = first == torch.arange(len(first), device=first.device)
        earlier = (labels[:, None] == labels) & (new & is_first)  # (B, B)
        place = earlier.tril(-1).sum(dim=1)[first]
        taken = oldest.gather(1, place.clamp(
            max=self.slots_per_class - 1)[:, None])[:, 0]
        return own.where(held, taken), held | (new & (place < free))
