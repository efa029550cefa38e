_base_ = [
    'stdcl-stgcn_1xb16-joint-u52-65e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl_recommended.py'
]

model = _base_.stdcl_recommended
