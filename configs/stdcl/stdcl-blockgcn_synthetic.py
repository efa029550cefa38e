_base_ = ['../blockgcn/blockgcn_synthetic.py', '../_base_/stdcl.py']

model = dict(cls_head=_base_.stdcl_head)
