_base_ = ['../stgcn/stgcn_synthetic.py', '../_base_/stdcl.py']

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
