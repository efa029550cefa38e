_base_ = 'stgcn_8xb16-joint-u100-80e_ntu120-xset-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='joint-motion'))
