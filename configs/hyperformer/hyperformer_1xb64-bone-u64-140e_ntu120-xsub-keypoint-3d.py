_base_ = 'hyperformer_1xb64-joint-u64-140e_ntu120-xsub-keypoint-3d.py'

model = dict(data_preprocessor=dict(stream='bone'))
