_base_ = [
    'stdcl-hcn_1xb16-joint-u32-150e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl_recommended.py'
]

model = dict(cls_head=_base_.stdcl_recommended.cls_head)
