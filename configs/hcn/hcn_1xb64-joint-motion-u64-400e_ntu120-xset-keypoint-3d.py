_base_ = 'hcn_1xb64-joint-u64-400e_ntu120-xset-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='joint-motion'))
