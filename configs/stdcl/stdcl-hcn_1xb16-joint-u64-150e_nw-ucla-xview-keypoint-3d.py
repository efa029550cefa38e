_base_ = [
    '../hcn/hcn_1xb16-joint-u64-150e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl_hcn.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
