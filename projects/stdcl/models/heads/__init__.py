"""Classification heads, with and without STD-CL."""
from .hcn_head import HCNHead, STDCLHCNHead
from .stdcl_head import STDCLHead, STDCLMixin

__all__ = ['HCNHead', 'STDCLHCNHead', 'STDCLHead', 'STDCLMixin']
