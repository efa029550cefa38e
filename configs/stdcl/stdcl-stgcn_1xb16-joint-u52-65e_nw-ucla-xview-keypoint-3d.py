_base_ = [
    '../stgcn/stgcn_1xb16-joint-u52-65e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
