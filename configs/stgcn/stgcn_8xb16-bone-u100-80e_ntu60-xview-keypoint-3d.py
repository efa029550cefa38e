_base_ = 'stgcn_8xb16-joint-u100-80e_ntu60-xview-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone'))
