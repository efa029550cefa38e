_base_ = [
    '../hcn/hcn_1xb64-joint-u64-400e_ntu120-xsub-keypoint-3d.py',
    '../_base_/stdcl_hcn.py'
]

model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
