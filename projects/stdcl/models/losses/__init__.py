"""The contrastive loss of STD-CL."""
from .cross_sequence_contrastive_loss import CrossSequenceContrastiveLoss

__all__ = ['CrossSequenceContrastiveLoss']
