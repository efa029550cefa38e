_base_ = [
    '../hcn/hcn_1xb16-joint-u32-150e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl_hcn.py'
]

model = dict(cls_head=_base_.stdcl_head)
