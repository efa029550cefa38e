_base_ = [
    '../2s-agcn/2s-agcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
