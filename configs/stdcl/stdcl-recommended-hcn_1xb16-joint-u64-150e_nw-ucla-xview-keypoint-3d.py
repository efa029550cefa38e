_base_ = [
    'stdcl-hcn_1xb16-joint-u64-150e_nw-ucla-xview-keypoint-3d.py',
    '../_base_/stdcl_recommended.py'
]

model = dict(cls_head=_base_.stdcl_recommended.cls_head)
