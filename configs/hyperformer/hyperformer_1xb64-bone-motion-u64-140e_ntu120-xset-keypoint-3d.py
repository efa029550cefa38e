_base_ = 'hyperformer_1xb64-joint-u64-140e_ntu120-xset-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone-motion'))
