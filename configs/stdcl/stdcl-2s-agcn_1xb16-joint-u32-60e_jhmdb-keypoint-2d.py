_base_ = [
    '../2s-agcn/2s-agcn_1xb16-joint-u32-60e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
