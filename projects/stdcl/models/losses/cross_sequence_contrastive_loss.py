"""The contrastive loss between anchors and a memory bank."""
from numbers import Real
from typing import Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import all_reduce, get_world_size

from ...utils.input_error import InputError, require_positive

NEGATIVES = ('hard', 'random')
BLOCK = 8192  # slots of a float16 bank to convert to float32 at a time


@MODELS.register_module()
class CrossSequenceContrastiveLoss(nn.Module):
    """Contrastive loss with hard positives and two sets of negatives.

    See arXiv 2312.15144, section on cross-sequence contrast. For an anchor z
    of class y, the loss selects among the filled slots of a memory bank:

    - positives: the P slots of class y that are least similar to z;
    - hard negatives: the K slots of other classes that are most similar to z;
    - random negatives: K slots of other classes, drawn without replacement.

    Each positive p and each set of negatives B give a term::

        -log( exp(z.p/t) / (exp(z.p/t) + sum_{b in B} exp(z.b/t)) )
        = softplus( logsumexp_b(z.b/t) - z.p/t ),

    and the loss is the mean of all terms.

    P and K are upper limits. An anchor contributes if it is not zero and the
    bank holds at least one negative and one positive that is not the anchor's
    own sequence. An anchor that is not finite makes the loss NaN. Do not
    write to the bank between the forward and the backward pass, or PyTorch
    raises an error.

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
        temperature (float): Temperature t. Defaults to 0.8.
        negatives (sequence[str]): Sets of negatives to use. Defaults to
            ('hard', 'random').

    Raises:
        InputError: P or K is not a positive integer, ``temperature`` is not
            positive, or ``negatives`` is empty or contains an unknown name.
    """

    def __init__(self, num_positives: int = 128, num_negatives: int = 512,
                 temperature: float = 0.8,
                 negatives: Sequence[str] = NEGATIVES) -> None:
        super().__init__()
        require_positive(type(self).__name__, num_positives=num_positives,
                         num_negatives=num_negatives)
        if not (isinstance(temperature, Real) and temperature > 0):
            raise InputError(
                f'{type(self).__name__}: temperature is {temperature!r}, '
                'expected a number above 0.')
        if not set(negatives) or set(negatives) - set(NEGATIVES):
            raise InputError(
                f'{type(self).__name__}: negatives is {negatives!r}, expected '
                f'one or both of {list(NEGATIVES)}.')
        self.num_positives = num_positives
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.negatives = tuple(dict.fromkeys(negatives))

    def forward(self, anchors: torch.Tensor, labels: torch.Tensor,
                own_slots: torch.Tensor, bank_features: torch.Tensor,
                bank_labels: torch.Tensor
                ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Contrast anchors with the slots of a bank.

        All computation is in float32, even under autocast. In distributed
        training, each process passes its own anchors. The loss is scaled so
        that the average of the gradients over the processes is the gradient
        of the mean over the terms of all processes.

        Args:
            anchors (Tensor): Shape (N, D), rows of norm 1 or 0, with gradient.
            labels (Tensor): Classes of the anchors, shape (N,).
            own_slots (Tensor): Slots of the anchors' own sequences, which do
                not count as positives, shape (N,).
            bank_features (Tensor): Shape (S, D), rows of norm 1; the rows of
                empty slots are ignored.
            bank_labels (Tensor): Classes of the slots, shape (S,); -1 for
                empty slots.

        Returns:
            tuple[Tensor, Tensor]: The loss and the share of this process's
            anchors that contributed to it, both scalars.
        """
        with torch.autocast(anchors.device.type, enabled=False):
            anchors = anchors.float() / self.temperature
            similarity = _similarities(anchors.detach(), bank_features)
            same_class = bank_labels == labels[:, None]  # (N, S)
            negatives = (bank_labels >= 0) & ~same_class  # (N, S)
            positives = same_class.scatter_(1, own_slots[:, None], False)

            hard_p, is_p = self._hardest(similarity, positives,
                                         self.num_positives, largest=False)
            sets = [self._negatives(kind, similarity, negatives, labels,
                                    bank_labels) for kind in self.negatives]
            to_positive, *to_negatives = _Similarity.apply(
                anchors, bank_features, similarity,
                torch.cat([hard_p, *(slots for slots, _ in sets)], dim=1)
            ).split([hard_p.shape[1], *(slots.shape[1] for slots, _ in sets)],
                    dim=1)  # (N, P), (N, K), (N, K)

            # if an anchor has any negatives, each set contains some
            is_term = (is_p & sets[0][1].any(dim=1, keepdim=True)
                       & anchors.any(dim=1, keepdim=True))  # (N, P)
            total = 0 * anchors.sum()  # NaN if an anchor is not finite
            for to_negative, (_, valid) in zip(to_negatives, sets):
                lowest = torch.finfo(to_negative.dtype).min
                pull = to_negative.masked_fill(~valid, lowest).logsumexp(
                    dim=1, keepdim=True)  # (N, 1)
                terms = F.softplus(pull - to_positive)  # (N, P)
                total = total + terms.masked_fill(~is_term, 0).sum()

            count = len(sets) * is_term.sum().float()
            all_reduce(count)
            loss = total * get_world_size() / count.clamp(min=1)
            return loss, is_term.any(dim=1).float().mean()

    def _negatives(self, kind: str, similarity: torch.Tensor,
                   candidate: torch.Tensor, labels: torch.Tensor,
                   bank_labels: torch.Tensor
                   ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return slots and whether each is a negative, (N, min(K, S))."""
        if kind == 'hard':
            return self._hardest(similarity, candidate, self.num_negatives,
                                 largest=True)
        return self._random_negatives(labels, bank_labels)

    @staticmethod
    @torch.no_grad()
    def _hardest(similarity: torch.Tensor, candidate: torch.Tensor, limit: int,
                 largest: bool) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return slots and whether each is a candidate, (N, min(limit, S))."""
        fill = float('-inf') if largest else float('inf')
        ranked = similarity.where(candidate, fill).topk(
            min(limit, similarity.shape[1]), dim=1, largest=largest,
            sorted=False)
        return ranked.indices, ranked.values != fill

    @torch.no_grad()
    def _random_negatives(self, labels: torch.Tensor, bank_labels: torch.Tensor
                          ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Draw K negatives for each anchor, uniformly, without replacement.

        All anchors share one random order of the filled slots. Each takes the
        first K slots of other classes in this order. The first 2K slots
        suffice, except for a class that fills more than half of them. For the
        most frequent class, the whole order is therefore searched. Returns
        the slots and whether each was drawn, both (N, min(K, S)).
        """
        limit = min(self.num_negatives, len(bank_labels))
        empty = 2  # sorts after filled slots, whose keys are below 1
        order = torch.rand(bank_labels.shape, device=bank_labels.device)
        order.masked_fill_(bank_labels < 0, empty)
        slots = order.topk(min(2 * limit, len(order)), largest=False).indices
        slot_labels = bank_labels[slots]  # (2K,)

        negative = (slot_labels >= 0) & (slot_labels != labels[:, None])
        place = negative.cumsum(dim=1)  # (N, 2K), from 1
        # move the first K to the front; an extra column takes the rest
        drawn = slots.new_zeros(len(labels), limit + 1).scatter_(
            1, (place - 1).where(negative & (place <= limit), limit),
            slots.expand_as(place))[:, :limit]  # (N, K)
        found = torch.arange(limit, device=slots.device) < place[:, -1:]

        frequent = slot_labels.mode().values
        others = order.masked_fill_(bank_labels == frequent, empty).topk(
            limit, largest=False)  # (K,)
        is_frequent = (labels == frequent)[:, None]  # (N, 1)
        return (others.indices.where(is_frequent, drawn),
                (others.values < empty).where(is_frequent, found))


def _similarities(anchors: torch.Tensor,
                  bank_features: torch.Tensor) -> torch.Tensor:
    """Return inner products of (N, D) and (S, D) in float32, (N, S)."""
    # on a CPU, the product is faster with the factors in this order
    similarity = anchors.new_empty(len(bank_features), len(anchors))
    size = len(bank_features) if _is_float32(bank_features) else BLOCK
    for block, out in zip(bank_features.split(size), similarity.split(size)):
        torch.mm(block.float(), anchors.T, out=out)
    return similarity.T.contiguous()


def _is_float32(tensor: torch.Tensor) -> bool:
    return tensor.dtype == torch.float32


class _Similarity(torch.autograd.Function):
    """Differentiable selection of precomputed similarities.

    The backward pass sums over the selected slots only, not the whole bank.
    """

    @staticmethod
    def forward(ctx, anchors, bank_features, similarity, slots):
        """Map (N, D), (S, D), (N, S), (N, L) to (N, L)."""
        ctx.save_for_backward(bank_features, slots)
        return similarity.gather(1, slots)

    @staticmethod
    def backward(ctx, gradient):
        """Map (N, L) to the gradient of the anchors, (N, D)."""
        bank_features, slots = ctx.saved_tensors
        if _is_float32(bank_features):
            total = F.embedding_bag(slots, bank_features, mode='sum',
                                    per_sample_weights=gradient)
        else:
            size = max(1, BLOCK // len(slots))
            # on a CPU, faster than bank_features[chosen]
            total = sum(
                torch.bmm(weights[:, None],
                          F.embedding(chosen, bank_features).float())
                for weights, chosen in zip(gradient.split(size, dim=1),
                                           slots.split(size, dim=1)))[:, 0]
        return total, None, None, None
