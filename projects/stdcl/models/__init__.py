"""Models: what STD-CL adds to a recognizer, and the paper's encoders."""
from .batch_memory_bank import BatchMemoryBank
from .class_balanced_memory_bank import ClassBalancedMemoryBank
from .contrastive_loss import CrossSequenceContrastiveLoss
from .ctrgcn import CTRGCN
from .decoupler import AttentiveDecoupler, Decoupler, ProjectionDecoupler
from .hcn import HCN
from .hcn_head import HCNHead, STDCLHCNHead
from .hyperformer import Hyperformer
from .memory_bank import MemoryBank
from .skeleton_data_preprocessor import SkeletonDataPreprocessor
from .stdcl_head import STDCLHead, STDCLMixin
from .stdcl_recognizer import STDCLRecognizer

__all__ = [
    'AttentiveDecoupler', 'BatchMemoryBank', 'CTRGCN',
    'ClassBalancedMemoryBank', 'CrossSequenceContrastiveLoss', 'Decoupler',
    'HCN', 'HCNHead', 'Hyperformer', 'MemoryBank', 'ProjectionDecoupler',
    'STDCLHCNHead', 'STDCLHead', 'STDCLMixin', 'STDCLRecognizer',
    'SkeletonDataPreprocessor'
]
