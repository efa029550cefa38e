"""Contrastive losses, and a control."""
from .cosine_cross_entropy import CosineCrossEntropy
from .cross_sequence_contrastive_loss import CrossSequenceContrastiveLoss

__all__ = ['CosineCrossEntropy', 'CrossSequenceContrastiveLoss']
