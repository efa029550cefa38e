_base_ = [
    '../blockgcn/blockgcn_1xb16-joint-u52-150e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
