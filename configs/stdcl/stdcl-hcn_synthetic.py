_base_ = ['../hcn/hcn_synthetic.py', '../_base_/stdcl_hcn.py']

model = dict(cls_head=_base_.stdcl_head)
