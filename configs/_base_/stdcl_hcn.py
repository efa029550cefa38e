# HCN needs its own classification head
_base_ = 'stdcl.py'

stdcl_head = dict(type='STDCLHCNHead')
stdcl_model = dict(cls_head=stdcl_head)
