"""The contrastive loss, and a control without contrast."""
from .cross_sequence_contrastive_loss import CrossSequenceContrastiveLoss

__all__ = ['CrossSequenceContrastiveLoss']
