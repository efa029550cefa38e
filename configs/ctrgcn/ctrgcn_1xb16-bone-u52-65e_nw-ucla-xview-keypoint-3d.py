_base_ = 'ctrgcn_1xb16-joint-u52-65e_nw-ucla-xview-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone'))
