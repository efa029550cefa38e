# HCN has a classifier of its own
_base_ = 'stdcl.py'

stdcl_head = dict(type='STDCLHCNHead')
