_base_ = [
    '../stgcn/stgcn_8xb16-joint-u100-80e_ntu120-xset-keypoint-3d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
