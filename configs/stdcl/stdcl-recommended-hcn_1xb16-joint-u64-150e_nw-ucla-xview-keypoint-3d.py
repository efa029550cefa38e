_base_ = [
    'stdcl-hcn_1xb16-joint-u64-150e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl_recommended_hcn.py'
]

model = _base_.stdcl_recommended
