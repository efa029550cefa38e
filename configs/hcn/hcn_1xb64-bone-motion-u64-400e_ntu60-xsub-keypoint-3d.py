_base_ = 'hcn_1xb64-joint-u64-400e_ntu60-xsub-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone-motion'))
