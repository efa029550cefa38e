_base_ = 'hcn_1xb16-joint-u64-150e_nw-ucla-xview-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone'))
