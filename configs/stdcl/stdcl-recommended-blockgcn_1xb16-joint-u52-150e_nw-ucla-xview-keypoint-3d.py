_base_ = [
    'stdcl-blockgcn_1xb16-joint-u52-150e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl_recommended.py'
]

model = _base_.stdcl_recommended
