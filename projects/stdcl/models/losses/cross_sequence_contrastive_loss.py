"""The contrastive loss between anchors and a memory bank."""
from collections.abc import Sequence
from functools import partial
from numbers import Real

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from ...utils.input_error import InputError, require_positive

NEGATIVES = ('hard', 'random')
# slots to multiply with the anchors at a time; on a CPU, as many as fit into
# its cache
CPU_BLOCK, GPU_BLOCK = 2048, 65536
GROUP = 4  # columns per group in _top
LARGE_BANK = 2**14  # slots of a bank that is not processed with the others


@MODELS.register_module()
class CrossSequenceContrastiveLoss(nn.Module):
    """Contrastive loss with hard positives and two sets of negatives.

    See arXiv 2312.15144, section on cross-sequence contrast. For an anchor z
    of class y, the loss selects among the filled slots of a memory bank:

    - positives: the P slots of class y that are least similar to z;
    - hard negatives: the K slots of other classes that are most similar to z;
    - random negatives: K slots of other classes, the first in a random order
      that all anchors share; they can include hard ones.

    Each positive p and each set of negatives Q give a term::

        -log( exp(z.p/t) / (exp(z.p/t) + sum_{q in Q} exp(z.q/t)) )
        = softplus( logsumexp_q(z.q/t) - z.p/t ),

    and the loss is the mean of all terms.

    P and K are upper limits; the authors' release skips anchors with fewer
    slots. An anchor contributes if it is not zero and the bank holds at least
    one negative and one positive that is not the anchor's own sequence. An
    anchor that is not finite makes the loss NaN.

    >>> loss = CrossSequenceContrastiveLoss(temperature=1)
    >>> value, share = loss(
    ...     anchors=torch.eye(3)[:1], labels=torch.tensor([0]),
    ...     own_slots=torch.tensor([0]), bank_features=torch.eye(3),
    ...     bank_labels=torch.tensor([0, 0, 1]))
    >>> value, share  # one positive and one negative, both orthogonal: log 2
    (tensor(0.6931), tensor(1.))

    Args:
        num_positives (int): Limit P of positives. Defaults to 128.
        num_negatives (int): Limit K of each set of negatives. Defaults to 512.
        temperature (float): Divisor t of the similarities. Defaults to 0.8.
        negatives (sequence[str]): Sets of negatives to use. Defaults to
            ('hard', 'random').

    Raises:
        InputError: ``num_positives`` or ``num_negatives`` is not a positive
            integer, ``temperature`` is not positive and finite, or
            ``negatives`` is empty or contains an unknown name.
    """

    def __init__(self, num_positives: int = 128, num_negatives: int = 512,
                 temperature: float = 0.8,
                 negatives: Sequence[str] = NEGATIVES) -> None:
        super().__init__()
        require_positive(type(self).__name__, num_positives=num_positives,
                         num_negatives=num_negatives)
        if not (isinstance(temperature, Real)
                and 0 < temperature < float('inf')):
            raise InputError(
                f'{type(self).__name__}: temperature is {temperature!r}, '
                'expected a finite number above 0.')
        if not set(negatives) or set(negatives) - set(NEGATIVES):
            raise InputError(
                f'{type(self).__name__}: negatives is {negatives!r}, expected '
                f'one or both of {list(NEGATIVES)}.')
        self.num_positives = num_positives
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.negatives = tuple(dict.fromkeys(negatives))

    def forward(self, anchors: Tensor, labels: Tensor, own_slots: Tensor,
                bank_features: Tensor | Sequence[Tensor], bank_labels: Tensor,
                class_size: int | None = None) -> tuple[Tensor, Tensor]:
        """Contrast anchors with the slots of a bank, or of several banks.

        All computation is in float32, even under autocast. In distributed
        training, each process passes its own anchors. The loss is scaled so
        that the average of the gradients over the processes is the gradient
        of the mean over the terms of all processes.

        For B banks, all tensors except ``labels`` have an additional first
        dimension of size B, and ``bank_features`` is a sequence of B tensors.

        Args:
            anchors (Tensor): Shape (N, D), rows of norm 1 or 0, with gradient.
            labels (Tensor): Classes of the anchors, integers from 0, (N,).
            own_slots (Tensor): Slots of the anchors' own sequences, which do
                not count as positives, or slots of other classes, shape (N,).
            bank_features (Tensor): float32 or float16, shape (S, D), rows of
                norm 1; those of empty slots must be finite, and are ignored.
            bank_labels (Tensor): Classes of the slots, (S,); -1 if empty.
            class_size (int, optional): Largest number of slots that a class
                can fill, which saves time and memory. If the class of an
                anchor fills more, the loss is NaN. Defaults to S.

        Returns:
            tuple[Tensor, Tensor]: The loss and the share of this process's
            anchors that contributed to it, both scalars.
        """
        # not self(), which could be a subclass that changes the result
        forward = partial(CrossSequenceContrastiveLoss.forward, self)
        if anchors.dim() == 2:
            loss, share = forward(anchors[None], labels, own_slots[None],
                                  [bank_features], bank_labels[None],
                                  class_size)
            return loss[0], share[0]
        if len(anchors) > 1 and bank_labels.shape[1] > LARGE_BANK:
            return tuple(map(torch.stack, zip(*[
                forward(bank_anchors, labels, *bank, class_size)
                for bank_anchors, *bank in
                zip(anchors, own_slots, bank_features, bank_labels)])))
        with torch.autocast(anchors.device.type, enabled=False):
            anchors = anchors.float() / self.temperature  # (B, N, D)
            total, gradient, is_term = self._contrast(
                anchors, labels, own_slots, bank_features, bank_labels,
                bank_labels.shape[1] if class_size is None else class_size)
            # add 0 with this gradient, or NaN if an anchor is not finite
            total = total + (gradient * (anchors - anchors.detach())).sum(
                dim=(1, 2))
            count = is_term.sum(dim=(1, 2), dtype=total.dtype)
            all_reduce(count)
            loss = total * (get_world_size() / len(self.negatives)
                            ) / count.clamp(min=1)
            return loss, is_term.any(dim=2).float().mean(dim=1)

    @torch.no_grad()
    def _contrast(self, anchors: Tensor, labels: Tensor, own_slots: Tensor,
                  bank_features: Sequence[Tensor], bank_labels: Tensor,
                  class_size: int) -> tuple[Tensor, ...]:
        """Return the sums of the terms, their gradients and valid positives.

        Their shapes are (B,), (B, N, D) and (B, N, P). Autograd would compute
        the same gradients, but keep all similarities, (B, N, S), until then.
        """
        similarity = _similarities(anchors, bank_features, bank_labels)
        same, is_same, exists = _slots_of_classes(labels, bank_labels,
                                                  class_size)
        to_same = similarity.gather(2, same)  # (B, N, M)
        # leave only the negatives; the others become -inf, like empty slots.
        # A repeated slot must be written with equal values, so ignore exists.
        similarity.scatter_(2, same, to_same.masked_fill(
            is_same, float('-inf')))

        is_positive = is_same & exists & (same != own_slots[..., None])
        minus_positive, places = _top(
            (-to_same).masked_fill(~is_positive, float('-inf')),
            min(self.num_positives, same.shape[2]))
        sets = [self._hard_negatives(similarity) if kind == 'hard' else
                self._random_negatives(labels, bank_labels, class_size)
                for kind in self.negatives]  # slots and validity, (B, N, K)
        is_n = torch.stack([valid for _, valid in sets], dim=2)
        negatives = torch.cat([slots for slots, _ in sets], dim=2)

        # if an anchor has any negatives, each set contains some
        is_term = ((minus_positive > float('-inf'))
                   & is_n[:, :, 0].any(dim=2, keepdim=True)
                   & anchors.any(dim=2, keepdim=True))  # (B, N, P)
        to_negative = similarity.gather(2, negatives).unflatten(
            2, is_n.shape[2:]).masked_fill(
                # with -inf alone in a row, its softmax would be NaN
                ~is_n, torch.finfo(similarity.dtype).min)  # (B, N, sets, K)
        push = to_negative.logsumexp(dim=3, keepdim=True)
        gap = (push + minus_positive[:, :, None]).masked_fill(
            ~is_term[:, :, None], float('-inf'))  # (B, N, sets, P)
        slope = gap.sigmoid()  # derivative of softplus
        weights = torch.cat([-slope.sum(dim=2), (to_negative.softmax(
            dim=3) * slope.sum(dim=3, keepdim=True)).flatten(2)], dim=2)
        chosen = torch.cat([same.gather(2, places), negatives], dim=2)
        gradient = torch.stack(list(map(_weighted_sum, bank_features, chosen,
                                        weights)))
        too_many = (is_same & exists)[..., class_size:].any()
        return F.softplus(gap).sum(dim=(1, 2, 3)).masked_fill(
            too_many, float('nan')), gradient, is_term

    def _hard_negatives(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Return the K most similar slots and whether each is valid."""
        values, slots = _top(similarity, min(self.num_negatives,
                                             similarity.shape[2]))
        return slots, values > float('-inf')

    def _random_negatives(self, labels: Tensor, bank_labels: Tensor,
                          class_size: int) -> tuple[Tensor, Tensor]:
        """Draw K negatives for each anchor, uniformly, without replacement.

        Each anchor takes the first K slots of other classes in one random
        order. Its own class fills at most ``class_size`` slots, so the first
        K + ``class_size`` slots suffice. Return slots and validity, (B, N, K).
        """
        size = bank_labels.shape[1]
        limit = min(self.num_negatives, size)
        order = torch.rand(bank_labels.shape, device=bank_labels.device)
        order.masked_fill_(bank_labels < 0, 2)  # after filled slots, below 1
        slots = order.topk(min(limit + class_size, size),
                           largest=False).indices  # (B, L)
        slot_labels = bank_labels.gather(1, slots)[:, None]
        negative = (slot_labels >= 0) & (slot_labels != labels[:, None])
        place = negative.cumsum(dim=2)  # (B, N, L), from 1
        # move the first K to columns 1 to K; columns 0 and K + 1 take the rest
        columns = (place * negative).clamp(max=limit + 1)
        drawn = slots.new_zeros(*place.shape[:2], limit + 2).scatter_(
            2, columns, slots[:, None].expand_as(place))[..., 1:-1]
        found = torch.arange(limit, device=slots.device) < place[..., -1:]
        return drawn, found


def _top(values: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row and their columns, unsorted.

    This is an exact ``topk`` that is faster on long rows. It finds the
    ``limit`` groups of columns with the largest values, and ranks only their
    columns, because no other group can contain larger values.
    """
    num_groups = values.shape[-1] // GROUP
    if num_groups <= 4 * limit:
        return values.topk(limit, sorted=False)
    # group g holds columns g, g + num_groups, ...; no group holds the rest
    columns = torch.arange(values.shape[-1], device=values.device)
    rest = columns[GROUP * num_groups:].expand(*values.shape[:-1], -1)
    grouped = values[..., :GROUP * num_groups].unflatten(-1, (GROUP, -1))
    _, groups = _top(grouped.amax(-2), limit)
    columns = torch.cat([
        *(groups + i * num_groups for i in range(GROUP)), rest], dim=-1)
    best, places = values.gather(-1, columns).topk(limit, sorted=False)
    return best, columns.gather(-1, places)


def _similarities(anchors: Tensor, bank_features: Sequence[Tensor],
                  bank_labels: Tensor) -> Tensor:
    """Return products of anchors (B, N, D) and B banks (S, D), (B, N, S).

    The result is -inf for empty slots.
    """
    offsets = anchors.new_zeros(bank_labels.shape).masked_fill_(
        bank_labels < 0, float('-inf'))
    similarity = anchors.new_empty(*anchors.shape[:2], bank_labels.shape[1])
    for rows, features, offset, out in zip(anchors, bank_features, offsets,
                                           similarity):
        size = _block_size(features)
        for block, shift, part in zip(features.split(size), offset.split(size),
                                      out.split(size, dim=1)):
            torch.addmm(shift, rows, block.float().T, out=part)
    return similarity


def _slots_of_classes(labels: Tensor, bank_labels: Tensor,
                      class_size: int) -> tuple[Tensor, ...]:
    """Find the slots of each anchor's class.

    Sorting the labels, (B, S), is faster than comparing each of them with
    each anchor. Return M slots from the start of the class, whether each
    belongs to the class, and whether it exists (after the end of the bank, the
    last slot is repeated), all (B, N, M). M is at most ``class_size`` + 1.
    """
    ordered, slots = bank_labels.int().sort(dim=1)
    first = torch.searchsorted(
        ordered, labels.int().expand(len(ordered), -1).contiguous())
    # one more than class_size, to notice a class that has too many slots
    size = ordered.shape[1]
    places = first[..., None] + torch.arange(min(class_size + 1, size),
                                             device=labels.device)
    exists = places < size
    places = places.clamp(max=size - 1).flatten(1)
    is_same = ordered.gather(1, places).view_as(exists) == labels[:, None]
    return slots.gather(1, places).view_as(exists), is_same, exists


def _block_size(tensor: Tensor) -> int:
    return CPU_BLOCK if tensor.is_cpu else GPU_BLOCK


def _weighted_sum(features: Tensor, slots: Tensor, weights: Tensor) -> Tensor:
    """Return float32 sums (N, D) of L weighted slots for each anchor.

    ``features`` is (S, D); ``slots`` and ``weights`` are (N, L).
    """
    if features.dtype == torch.float32:
        return F.embedding_bag(slots, features, mode='sum',
                               per_sample_weights=weights)
    size = max(1, _block_size(features) // len(slots))
    # on a CPU, F.embedding is faster than features[chosen]
    return sum(
        torch.bmm(part[:, None], F.embedding(chosen, features).float())
        for part, chosen in zip(weights.split(size, dim=1),
                                slots.split(size, dim=1)))[:, 0]
