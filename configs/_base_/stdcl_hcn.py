# HCN's classifier is its own
_base_ = 'stdcl.py'

stdcl_head = dict(type='STDCLHCNHead')
