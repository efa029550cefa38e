_base_ = [
    '../blockgcn/blockgcn_1xb64-joint-u64-140e_ntu120-xset-keypoint-3d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
