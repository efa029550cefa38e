_base_ = [
    'stdcl-2s-agcn_1xb16-joint-u32-60e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl_recommended.py'
]

model = _base_.stdcl_recommended
