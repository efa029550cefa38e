# STD-CL as in stdcl.py, but with the classification head of HCN
_base_ = 'stdcl.py'

stdcl_head = dict(type='STDCLHCNHead')
stdcl_model = dict(cls_head=stdcl_head)
