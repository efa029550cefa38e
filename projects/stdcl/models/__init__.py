"""Models: what STD-CL adds to a recognizer."""
from .contrastive_loss import CrossSequenceContrastiveLoss
from .decoupler import AttentiveDecoupler, Decoupler, ProjectionDecoupler
from .memory_bank import MemoryBank
from .skeleton_data_preprocessor import SkeletonDataPreprocessor
from .stdcl_head import STDCLHead, STDCLMixin
from .stdcl_recognizer import STDCLRecognizer

__all__ = [
    'AttentiveDecoupler', 'CrossSequenceContrastiveLoss', 'Decoupler',
    'MemoryBank', 'ProjectionDecoupler', 'STDCLHead', 'STDCLMixin',
    'STDCLRecognizer', 'SkeletonDataPreprocessor'
]
