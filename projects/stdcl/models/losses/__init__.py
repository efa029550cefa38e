"""The contrastive loss, and a control without contrast."""
from .cosine_cross_entropy import CosineCrossEntropy
from .cross_sequence_contrastive_loss import CrossSequenceContrastiveLoss

__all__ = ['CosineCrossEntropy', 'CrossSequenceContrastiveLoss']
