_base_ = ['../2s-agcn/2s-agcn_synthetic.py', '../_base_/stdcl.py']

model = dict(cls_head=_base_.stdcl_head)
