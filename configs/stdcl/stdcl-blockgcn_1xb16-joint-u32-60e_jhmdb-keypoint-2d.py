_base_ = [
    '../blockgcn/blockgcn_1xb16-joint-u32-60e_jhmdb-keypoint-2d.py',
    '../_base_/stdcl.py'
]

model = dict(cls_head=_base_.stdcl_head)
