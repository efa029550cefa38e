_base_ = [
    'stdcl-hcn_1xb16-joint-u32-150e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl_recommended_hcn.py'
]

model = _base_.stdcl_recommended
