_base_ = 'ctrgcn_1xb64-joint-u64-65e_ntu60-xview-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone-motion'))
