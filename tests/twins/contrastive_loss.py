"""Twin of the contrastive loss, slow but easy to verify.

A loop over the anchors sorts the similarities, draws the random negatives and
builds the table of logits for cross entropy.
"""
import torch
import torch.nn.functional as F


def draw(candidates: torch.Tensor, count: int) -> torch.Tensor:
    """Draw up to ``count`` of the candidates without replacement."""
    return candidates[torch.randperm(len(candidates))[:count]]


def contrastive_loss(anchors, labels, own_slots, bank_features, bank_labels,
                     num_positives, num_negatives, temperature,
                     random_negatives=None, negatives=('hard', 'random')):
    """Compute the loss and the share of anchors that contribute.

    The arguments are those of ``CrossSequenceContrastiveLoss``. In addition,
    ``random_negatives`` may list the slots to use instead of a random draw.
    """
    terms, took_part = [], 0
    similarities = (bank_features @ anchors.T).T.unbind()  # N tensors (S,)
    for i, (similarity, label, own) in enumerate(
            zip(similarities, labels, own_slots)):
        is_positive = bank_labels == label
        is_positive[own] = False
        positives = is_positive.nonzero().flatten()
        others = ((bank_labels >= 0)
                  & (bank_labels != label)).nonzero().flatten()
        if len(positives) == 0 or len(others) == 0 or not anchors[i].any():
            continue
        took_part += 1
        ascending = similarity[positives].sort().values
        hard_positives = ascending[:num_positives]  # (P,)
        descending = similarity[others].sort(descending=True).values
        hard_negatives = descending[:num_negatives]  # (K,)
        drawn = draw(others, num_negatives) if random_negatives is None \
            else random_negatives[i]
        sets = dict(hard=hard_negatives, random=similarity[drawn])
        for chosen in (sets[kind] for kind in negatives):
            table = torch.cat([
                hard_positives[:, None],
                chosen.expand(len(hard_positives), -1)], dim=1)  # (P, K + 1)
            truth = torch.zeros(len(table), dtype=torch.long)
            terms.append(F.cross_entropy(table / temperature, truth,
                                         reduction='none'))
    if not terms:
        return (anchors * 0).sum(), 0.0
    return torch.cat(terms).mean(), took_part / len(anchors)
