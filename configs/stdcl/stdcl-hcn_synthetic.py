_base_ = ['../hcn/hcn_synthetic.py', '../_base_/stdcl_hcn.py']

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
